"""The errors of usassist, one small tree.

::

    UsAssistError                      every error that usassist raises on purpose
    ├── UsageError          ValueError       the command or the configuration is wrong (exit code 2)
    │   └── ConfigError                      a settings file has an unknown key or a wrong type
    ├── RecordError         ValueError       a record would not be valid
    │   └── VolumeError                      a volume cannot be processed: a voxel is not finite, planes are missing
    ├── SourceError         OSError          a source cannot be opened or read
    │   ├── SourceFormatError                the file is there, but holds no video that can be read
    │   └── ScanAreaError                    no ultrasound image was found on the screen
    ├── CalibrationError    ValueError       a calibration file is missing, malformed or does not fit
    ├── ClinicalTableError  ValueError       a table of rules for nodules is malformed
    ├── EngineError         RuntimeError     an engine cannot be opened or failed
    │   ├── EngineNotFoundError LookupError  no engine of that name
    │   ├── EngineSpecError                  engine.toml or the weights do not agree with it
    │   ├── BackendFailedError               an open back end failed while it ran; another may take over
    │   │   ├── EngineOutputError            an output has a wrong shape or is not finite
    │   │   └── BackendHungError             a call did not return by its deadline
    │   ├── CacheError                       the cache folder of plans cannot be used
    │   └── BackendUnavailableError ImportError   the runtime is not installed or cannot run here
    │       └── PlanMissingError             it could run, once its plan has been built
    ├── BusError            ConnectionError  an address is in use or cannot be reached
    │   ├── BusKeyError                      a key is missing, readable by others, or not accepted by the other end
    │   ├── MessageError    ValueError       bytes that are not one of our messages
    │   └── SchemaVersionError               a message of another major version
    ├── SessionError        OSError          a session folder cannot be written or read
    ├── StoreError          OSError          the folder of received studies cannot be written or read
    │   ├── StoreFullError                   its disk is full
    │   └── DifferentObjectError             it holds another object under the same UID
    ├── ArchiveError        ConnectionError  a PACS did not do what was asked
    │   ├── ArchiveDownError                 it is down, hangs or ended the connection; it may be asked again
    │   └── ArchiveRefusedError              it answered no, and would again: AE title, certificate, password
    ├── StudyError          OSError          the folder of a study's result cannot be written
    ├── StudyCancelledError                  a study was cancelled on request; nothing of it is left
    └── DicomError          OSError          a DICOM object cannot be read, made or written

The message of each is one line that ends with what to do. Code that can handle a failure catches the
narrow class; the command line catches ``UsAssistError``, prints that line and exits.
"""

from __future__ import annotations

__all__ = [
    "ArchiveDownError",
    "ArchiveError",
    "ArchiveRefusedError",
    "BackendFailedError",
    "BackendHungError",
    "BackendUnavailableError",
    "BusError",
    "BusKeyError",
    "CacheError",
    "CalibrationError",
    "ClinicalTableError",
    "ConfigError",
    "DicomError",
    "DifferentObjectError",
    "EngineError",
    "EngineNotFoundError",
    "EngineOutputError",
    "EngineSpecError",
    "MessageError",
    "PlanMissingError",
    "RecordError",
    "ScanAreaError",
    "SchemaVersionError",
    "SessionError",
    "SourceError",
    "SourceFormatError",
    "StoreError",
    "StoreFullError",
    "StudyCancelledError",
    "StudyError",
    "UsAssistError",
    "UsageError",
    "VolumeError",
]


class UsAssistError(Exception):
    """Base of every error that usassist raises on purpose."""

    exit_code = 1

    def __str__(self) -> str:
        """The message alone, also for the classes that are an ``OSError`` too."""
        return " ".join(str(arg) for arg in self.args)


class UsageError(UsAssistError, ValueError):
    """A command, setting or argument names something that does not exist, or contradicts another."""

    exit_code = 2


class ConfigError(UsageError):
    """A settings file has an unknown key or a value of the wrong type."""


class RecordError(UsAssistError, ValueError):
    """The values given do not make a valid record."""


class VolumeError(RecordError):
    """A volume cannot be processed: a voxel is not finite, or it is not what the engine was made for."""


class SourceError(UsAssistError, OSError):
    """A source cannot be opened or read."""


class SourceFormatError(SourceError):
    """The file is there, but holds no video or image that can be read."""


class ScanAreaError(SourceError):
    """No ultrasound image was found on the screen, so nothing can be cropped to it."""


class CalibrationError(UsAssistError, ValueError):
    """A calibration file is missing, malformed, or does not belong to this image geometry."""


class ClinicalTableError(UsAssistError, ValueError):
    """A table of rules for nodules has an unknown word, a hole, or rows that overlap."""


class EngineError(UsAssistError, RuntimeError):
    """An engine cannot be opened, or failed while it ran."""


class EngineNotFoundError(EngineError, LookupError):
    """There is no engine or back end of that name."""

    exit_code = 2


class EngineSpecError(EngineError):
    """``engine.toml`` is malformed, or the weights do not agree with it."""


class BackendFailedError(EngineError):
    """An open back end failed while it ran. It must not be used any more; another may take over."""


class EngineOutputError(BackendFailedError):
    """An engine's output has another shape than the spec says, or is not finite."""


class BackendHungError(BackendFailedError):
    """A call of a back end did not return by its deadline. Its thread and its engine are abandoned."""


class CacheError(EngineError):
    """The folder of plans and of other files that were built on this machine cannot be used."""


class BackendUnavailableError(EngineError, ImportError):
    """The runtime of a back end is not installed or cannot run on this machine."""


class PlanMissingError(BackendUnavailableError):
    """The back end could run here, but its plan has not been built yet."""


class BusError(UsAssistError, ConnectionError):
    """An address of the bus is in use, malformed, or cannot be reached."""


class BusKeyError(BusError):
    """A key is missing, malformed or readable by others, or the other end of a connection does not accept it."""


class MessageError(BusError, ValueError):
    """Bytes that are not one of our messages."""


class SchemaVersionError(BusError):
    """A message or a recording of another major version."""


class SessionError(UsAssistError, OSError):
    """A session folder cannot be written or read."""


class StoreError(UsAssistError, OSError):
    """The folder of received studies cannot be written or read, or holds something else."""


class StoreFullError(StoreError):
    """The disk of the folder of received studies is full."""


class DifferentObjectError(StoreError):
    """The folder of received studies holds another object under the same SOP Instance UID."""


class StudyError(UsAssistError, OSError):
    """The folder of a study's result cannot be written."""


class StudyCancelledError(UsAssistError):
    """A study was cancelled on request; nothing of it is left."""

    exit_code = 130  # as after Ctrl-C


class DicomError(UsAssistError, OSError):
    """A DICOM object, or what is needed for one, cannot be read, made or written."""


class ArchiveError(UsAssistError, ConnectionError):
    """An archive (PACS) did not do what was asked."""


class ArchiveDownError(ArchiveError):
    """An archive cannot be reached, does not answer in time, or ended the connection. It may be asked again."""


class ArchiveRefusedError(ArchiveError):
    """An archive answered no, and would answer the same again: another AE title, a wrong certificate or password."""
