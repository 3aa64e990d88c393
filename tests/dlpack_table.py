"""DLPack's table of functions, as far as it is asked, for classes that stand for tensors."""

import ctypes

_new_capsule = ctypes.PYFUNCTYPE(
    ctypes.py_object, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p
)(("PyCapsule_New", ctypes.pythonapi))
_NAME = b"dlpack_exchange_api"
_kept = []


def table(function, major=1):
    """Return the capsule of a table with the address of what describes a tensor."""
    words = (ctypes.c_uint64 * 7)(major, 0, 0, 0, 0, function)
    _kept.append(words)
    return _new_capsule(ctypes.addressof(words), _NAME, None)
