"""The first article of the Universal Declaration of Human Rights, and what it was written in before Unicode."""

from typing import Final

ARTICLES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "ru": (
        "Все люди рождаются свободными и равными в своем достоинстве и правах. "
        "Они наделены разумом и совестью и должны поступать в отношении друг "
        "друга в духе братства.",
        ("cp1251", "koi8-r", "iso8859-5", "cp866"),
    ),
    "uk": (
        "Всі люди народжуються вільними і рівними у своїй гідності та правах. "
        "Вони наділені розумом і совістю і повинні діяти у відношенні один до "
        "одного в дусі братерства.",
        ("cp1251", "koi8-u"),
    ),
    "el": (
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και "
        "τα δικαιώματα. Είναι προικισμένοι με λογική και συνείδηση, και "
        "οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης.",
        ("cp1253", "iso8859-7"),
    ),
    "ja": (
        "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、理性と良心とを授けられており"
        "、互いに同胞の精神をもって行動しなければならない。",
        ("shift_jis", "euc_jp", "iso2022_jp"),
    ),
    "zh": (
        "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心,并应以兄弟关系的精神相对待。",
        ("gb18030",),
    ),
    "zht": (
        "人人生而自由,在尊嚴和權利上一律平等。他們賦有理性和良心,並應以兄弟關係的精神相對待。",
        ("big5",),
    ),
    "ko": (
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 "
        "양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
        ("euc_kr",),
    ),
    "pl": (
        "Wszyscy ludzie rodzą się wolni i równi pod względem swej godności i "
        "swych praw. Są oni obdarzeni rozumem i sumieniem i powinni postępować "
        "wobec innych w duchu braterstwa.",
        ("cp1250", "iso8859-2"),
    ),
    "cs": (
        "Všichni lidé rodí se svobodní a sobě rovní co do důstojnosti a práv. "
        "Jsou nadáni rozumem a svědomím a mají spolu jednat v duchu bratrství.",
        ("cp1250", "iso8859-2"),
    ),
    "tr": (
        "Bütün insanlar hür, haysiyet ve haklar bakımından eşit doğarlar. Akıl "
        "ve vicdana sahiptirler ve birbirlerine karşı kardeşlik zihniyeti ile "
        "hareket etmelidirler.",
        ("cp1254",),
    ),
    "he": (
        "כל בני האדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו "
        "בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש ברעהו ברוח של אחווה.",
        ("cp1255",),
    ),
    "ar": (
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا "
        "وضميرا وعليهم أن يعامل بعضهم بعضا بروح الإخاء.",
        ("cp1256",),
    ),
    "de": (
        "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie "
        "sind mit Vernunft und Gewissen begabt und sollen einander im Geiste "
        "der Brüderlichkeit begegnen.",
        ("cp1252",),
    ),
    "fr": (
        "Tous les êtres humains naissent libres et égaux en dignité et en "
        "droits. Ils sont doués de raison et de conscience et doivent agir les "
        "uns envers les autres dans un esprit de fraternité.",
        ("cp1252",),
    ),
    "es": (
        "Todos los seres humanos nacen libres e iguales en dignidad y derechos "
        "y, dotados como están de razón y conciencia, deben comportarse "
        "fraternalmente los unos con los otros.",
        ("cp1252",),
    ),
    "en": (
        "Résumé: the café’s “special” costs £5 – a naïve price, said the owner "
        "of the place to the man who had come to ask for it.",
        ("cp1252",),
    ),
}
"""By the code of the language; `en` is another sentence, as its article is ASCII."""
