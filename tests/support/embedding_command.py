"""An embedder that is a command: run as a program, with a word for how to misbehave."""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.support.embedders import DIM, FINGERPRINT, NAME, vector

HELLO = {"name": NAME, "dim": DIM, "fingerprint": FINGERPRINT}


def main(manner: str = "well", *details: str) -> None:
    if manner == "never greets":
        time.sleep(60)
    if manner == "greets badly":
        print("hello", flush=True)
    if manner == "other fingerprint after the first start":
        mark = Path(details[0])
        if mark.exists():
            HELLO["fingerprint"] = "another"
        mark.touch()
    print(
        json.dumps(HELLO | (json.loads(details[0]) if manner == "greets with" else {})), flush=True
    )
    for line in sys.stdin:
        question = json.loads(line)
        text = question["texts"][0]
        if manner == "dies when told" and "die" in text:
            os._exit(3)
        if manner == "hangs when told" and "hang" in text:
            time.sleep(60)
        if manner == "fails when told" and "fail" in text:
            print(json.dumps({"id": question["id"], "error": "I do not like it"}), flush=True)
            continue
        answer = {"id": question["id"], "vectors": [vector(each) for each in question["texts"]]}
        if manner == "answers with":
            answer |= json.loads(details[0])
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BrokenPipeError:  # whoever asked has ended
        os._exit(0)
