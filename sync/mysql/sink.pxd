# C types of sink.py; see there.
cimport cython
from libc.string cimport memcpy


cdef inline unsigned long long negated(long long value) noexcept:
    # As unsigned, for the lowest value has no positive twin.
    return 0 - <unsigned long long>value


cdef class Sink:
    cdef bytearray buffer
    cdef unsigned char* out
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    @cython.locals(larger=bytearray)
    cdef int reserve(self, Py_ssize_t more) except -1
    cdef Py_ssize_t mark(self) except -1
    cdef bytes take(self, Py_ssize_t mark)
    cdef bytes since(self, Py_ssize_t mark)
    cdef int cut(self, Py_ssize_t mark) except -1
    cdef int put(self, int octet) except -1
    cdef int put_bytes(self, bytes piece) except -1
    cdef int put_slice(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(width=int, rest=cython.ulonglong)
    cdef int put_unsigned(self, unsigned long long value) except -1
    cdef int put_signed(self, long long value) except -1
    @cython.locals(at=Py_ssize_t, rest=cython.ulonglong)
    cdef int put_padded(self, unsigned long long value, int width) except -1
    cdef int put_date(self, int year, int month, int day) except -1
    cdef int put_clock(self, int hours, int minutes, int seconds) except -1
    @cython.locals(rest=int, _=int)
    cdef int put_fraction(self, int micros, int digits) except -1
    @cython.locals(at=Py_ssize_t, high=int, low=int)
    cdef int put_hex(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(at=int)
    cdef int put_bits(self, unsigned long long value, int count) except -1
    @cython.locals(at=Py_ssize_t, index=Py_ssize_t, octet=cython.uchar, high=cython.uchar)
    cdef bint put_copy(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(index=Py_ssize_t, octet=cython.uchar, piece=bytes)
    cdef int escape_since(self, Py_ssize_t mark) except -1
