# C types of forms.py; see there.
cimport cython
from libc.string cimport memchr, memcpy

from sync.mysql.octets cimport address, big, has_high, little, little_signed, sign_bit, valid_utf8
from sync.mysql.sink cimport Sink, put, put_bytes, put_slice, reserve


cdef enum:
    NOT_PLAIN = 0
    PLAIN_TEXT = 1
    PLAIN_BYTES = 2


cdef class FieldForm:
    cdef readonly int fixed
    cdef readonly int prefix
    cdef readonly int plain

    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
    cdef int check(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
    @cython.locals(sink=Sink)
    cpdef bytes text(self, bytes raw)


cdef class IntegerForm(FieldForm):
    cdef bint unsigned


cdef class YearForm(FieldForm):
    pass


cdef class RealForm(FieldForm):
    cdef object layout


cdef class DecimalForm(FieldForm):
    cdef int head
    cdef int head_bytes
    cdef int tail_bytes
    cdef int groups
    cdef int fraction_groups
    cdef int tail

    @cython.locals(first=int, mask=int, nonzero=int, at=Py_ssize_t, started=bint, _=int, value=cython.ulonglong)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
    @cython.locals(at=int, value=cython.ulonglong)
    cdef unsigned long long part(self, const unsigned char* data, Py_ssize_t start, int width, int mask, bint sign) noexcept


cdef class BitForm(FieldForm):
    cdef int bits


cdef class BinaryForm(FieldForm):
    cdef Py_ssize_t padded

    @cython.locals(_=Py_ssize_t)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class TextForm(FieldForm):
    cdef bint ascii_only
    cdef bint stripped

    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
    @cython.locals(good=bint)
    cdef int check(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class SingleByteForm(FieldForm):
    cdef bint stripped
    cdef readonly str charset
    cdef list pieces
    cdef bytes table

    @cython.locals(at=Py_ssize_t, octet=cython.uchar, mark=Py_ssize_t, width=int, index=int, table=cython.p_const_uchar)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class ConvertedForm(FieldForm):
    cdef object convert
    cdef bint is_text

    @cython.locals(mark=Py_ssize_t)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class EnumForm(FieldForm):
    cdef list labels
    cdef list escaped

    @cython.locals(index=Py_ssize_t)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1


cdef class SetForm(FieldForm):
    cdef list labels
    cdef list escaped

    @cython.locals(index=int, mask=cython.ulonglong, labels=list, first=bint)
    cdef int write(self, Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length, bint copy) except -1
