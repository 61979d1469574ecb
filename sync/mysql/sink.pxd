# C types of sink.py; see there.
cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from sync.mysql.octets cimport copy_octets, digit_count, digits_before, negated, plain_run, two_digits


@cython.final
cdef class Sink:
    cdef bytearray buffer
    cdef unsigned char* out
    cdef Py_ssize_t size
    cdef Py_ssize_t capacity

    @cython.locals(larger=bytearray, needed=Py_ssize_t)
    cdef int grow(self, Py_ssize_t more) except -1
    cdef Py_ssize_t mark(self) except -1
    cdef bytes between(self, Py_ssize_t start, Py_ssize_t stop)
    cdef int again(self, Py_ssize_t start, Py_ssize_t stop) except -1
    cdef bytes take(self, Py_ssize_t mark)
    @cython.locals(whole=bytearray)
    cdef object take_whole(self)
    cdef bytes since(self, Py_ssize_t mark)
    cdef int cut(self, Py_ssize_t mark) except -1
    cdef int reset(self) except -1
    @cython.locals(width=int)
    cdef int put_unsigned(self, unsigned long long value) except -1
    cdef int put_signed(self, long long value) except -1
    @cython.locals(at=Py_ssize_t, rest=cython.ulonglong)
    cdef int put_padded(self, unsigned long long value, int width) except -1
    @cython.locals(out=cython.p_uchar)
    cdef int put_date(self, int year, int month, int day) except -1
    @cython.locals(out=cython.p_uchar)
    cdef int put_clock(self, int hours, int minutes, int seconds) except -1
    @cython.locals(rest=int, _=int)
    cdef int put_fraction(self, int micros, int digits) except -1
    @cython.locals(at=Py_ssize_t, high=int, low=int)
    cdef int put_hex(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(at=int)
    cdef int put_bits(self, unsigned long long value, int count) except -1
    @cython.locals(at=cython.p_const_uchar, rest=Py_ssize_t, run=Py_ssize_t, octet=cython.uchar, escapes=Py_ssize_t, place=Py_ssize_t)
    cdef int put_copy(self, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1
    @cython.locals(piece=bytes)
    cdef int escape_since(self, Py_ssize_t mark) except -1


cdef inline int reserve(Sink sink, Py_ssize_t more) except -1:
    if sink.size + more > sink.capacity:
        return sink.grow(more)
    return 0


cdef inline int put(Sink sink, int octet) except -1:
    if sink.size == sink.capacity:
        sink.grow(1)
    sink.out[sink.size] = <unsigned char>octet
    sink.size += 1
    return 0


cdef inline int put_slice(Sink sink, const unsigned char* data, Py_ssize_t start, Py_ssize_t length) except -1:
    reserve(sink, length)
    copy_octets(sink.out + sink.size, data + start, length)
    sink.size += length
    return 0


cdef inline int put_bytes(Sink sink, bytes piece) except -1:
    return put_slice(sink, <const unsigned char*>PyBytes_AS_STRING(piece), 0, PyBytes_GET_SIZE(piece))
