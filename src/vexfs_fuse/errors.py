"""Every failure that a user can be told of: a sentence, an errno, an HTTP status.

A method raises one of these before it has changed anything.  `errno` is named here and in `fuse/` only.
"""

import errno
from typing import ClassVar


class VexfsError(Exception):
    """A failure that is expected: the caller's answer, not a bug."""

    errno: ClassVar[int] = errno.EIO
    http_status: ClassVar[int] = 500
    sentence: ClassVar[str] = "the operation failed"

    def __str__(self) -> str:
        detail = super().__str__()
        return f"{self.sentence}: {detail}" if detail else self.sentence


class NotFound(VexfsError):
    """No such file or directory."""

    errno, http_status, sentence = errno.ENOENT, 404, "no such file or directory"


class Exists(VexfsError):
    """The name is taken."""

    errno, http_status, sentence = errno.EEXIST, 409, "the name is taken"


class NotADirectory(VexfsError):
    """A directory was needed."""

    errno, http_status, sentence = errno.ENOTDIR, 409, "not a directory"


class IsADirectory(VexfsError):
    """Something other than a directory was needed."""

    errno, http_status, sentence = errno.EISDIR, 409, "is a directory"


class DirectoryNotEmpty(VexfsError):
    """The directory still has entries."""

    errno, http_status, sentence = errno.ENOTEMPTY, 409, "the directory is not empty"


class NameTooLong(VexfsError):
    """A name has more than 255 bytes, or a symlink target more than 4,095."""

    errno, http_status, sentence = errno.ENAMETOOLONG, 400, "the name is too long"


class TooManyLinks(VexfsError):
    """The link count is at its limit."""

    errno, http_status, sentence = errno.EMLINK, 409, "too many links"


class NotPermitted(VexfsError):
    """Only the owner or root may do this."""

    errno, http_status, sentence = errno.EPERM, 403, "not permitted"


class AccessDenied(VexfsError):
    """The mode or the ACL forbids it."""

    errno, http_status, sentence = errno.EACCES, 403, "access denied"


class InvalidArgument(VexfsError):
    """An argument makes no sense."""

    errno, http_status, sentence = errno.EINVAL, 400, "invalid argument"


class NoSpace(VexfsError):
    """The store's disk has no room for this change."""

    errno, http_status, sentence = errno.ENOSPC, 507, "no space left in the store"


class ReadOnly(VexfsError):
    """The volume takes no changes."""

    errno, http_status, sentence = errno.EROFS, 403, "the volume is read-only"


class FileTooBig(VexfsError):
    """Beyond the largest size of a file."""

    errno, http_status, sentence = errno.EFBIG, 413, "the file would be too big"


class NothingThere(VexfsError):
    """A search for data or a hole begins at the end of the file or beyond, or finds no more data."""

    errno, http_status, sentence = errno.ENXIO, 416, "nothing there"


class NoAttribute(VexfsError):
    """The file has no such extended attribute."""

    errno, http_status, sentence = errno.ENODATA, 404, "no such attribute"


class AttributeTooBig(VexfsError):
    """The attribute's value, or all of the file's attributes together, are too big."""

    errno, http_status, sentence = errno.E2BIG, 413, "the attribute is too big"


class NotSupported(VexfsError):
    """This file system does not do that."""

    errno, http_status, sentence = errno.EOPNOTSUPP, 501, "not supported"


class CorruptData(VexfsError):
    """Stored bytes do not match their checksum."""

    errno, http_status, sentence = errno.EIO, 500, "stored data are damaged"


class StoreFailed(VexfsError):
    """The store's disk refused a write or a sync; the volume has turned read-only."""

    errno, http_status, sentence = errno.EIO, 500, "the store's disk failed"


class BadHandle(VexfsError):
    """The handle is not open, or not for this."""

    errno, http_status, sentence = errno.EBADF, 400, "bad file handle"


class TooManyOpen(VexfsError):
    """The bound on open files is reached."""

    errno, http_status, sentence = errno.ENFILE, 503, "too many open files"


class TimedOut(VexfsError):
    """A search took longer than searches may."""

    errno, http_status, sentence = errno.ETIMEDOUT, 504, "it took too long"


class CrossDevice(VexfsError):
    """A rename or link between a real and a virtual tree."""

    errno, http_status, sentence = errno.EXDEV, 409, "not within one tree"


class StoreLocked(VexfsError):
    """Another daemon has the store."""

    errno, http_status, sentence = errno.EBUSY, 409, "the store is in use by another process"


class StoreTooNew(VexfsError):
    """The store was written by a later format revision than this program knows."""

    errno, http_status, sentence = errno.EPROTO, 500, "the store has a newer format"


class StoreDamaged(VexfsError):
    """The store cannot be opened as it is."""

    errno, http_status, sentence = errno.EIO, 500, "the store is damaged"


class MountFailed(VexfsError):
    """The volume cannot be mounted or unmounted there."""

    errno, http_status, sentence = errno.EIO, 500, "cannot mount or unmount"


class ModelMissing(VexfsError):
    """There is no model to make vectors of text with."""

    errno, http_status, sentence = errno.ENODATA, 503, "no model for text is installed"


class NoEmbedder(ModelMissing):
    """There is to be no embedder: the options say so."""

    sentence = "texts are not embedded"


class EmbedderFailed(VexfsError):
    """The embedder gave no vectors, or none of the kind that it promised."""

    errno, http_status, sentence = errno.EIO, 502, "the embedder failed"


class ExtractionFailed(VexfsError):
    """A file's text cannot be had; says why."""

    errno, http_status, sentence = errno.EIO, 422, "the text cannot be extracted"
