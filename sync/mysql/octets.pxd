# The compiled form of octets.py, and what only compiled code needs.
from libc.string cimport memcpy


cdef inline unsigned long long big(const unsigned char* data, Py_ssize_t start, int width) noexcept:
    cdef unsigned long long value = 0
    cdef int at
    for at in range(width):
        value = value << 8 | data[start + at]
    return value


cdef inline unsigned long long little(const unsigned char* data, Py_ssize_t start, int width) noexcept:
    cdef unsigned long long value = 0
    cdef int at
    for at in range(width):
        value |= <unsigned long long>data[start + at] << (8 * at)
    return value


cdef inline long long little_signed(const unsigned char* data, Py_ssize_t start, int width) noexcept:
    # Arithmetic right shift puts the sign into the upper bits.
    return (<long long>(little(data, start, width) << (64 - 8 * width))) >> (64 - 8 * width)


cdef inline unsigned long long sign_bit(int width) noexcept:
    return 1ULL << (8 * width - 1)


cdef inline unsigned long long negated(long long value) noexcept:
    # As unsigned, for the lowest value has no positive twin.
    return 0 - <unsigned long long>value


cdef inline const unsigned char* address(bytes piece):
    return piece


cdef inline void two_digits(unsigned char* at, unsigned int value) noexcept:
    at[0] = <unsigned char>(0x30 + value / 10 % 10)
    at[1] = <unsigned char>(0x30 + value % 10)


cdef inline unsigned long long eight(const unsigned char* at) noexcept:
    cdef unsigned long long value
    memcpy(&value, at, 8)
    return value


cdef inline Py_ssize_t plain_run(
    const unsigned char* at, Py_ssize_t length, unsigned char below, unsigned char first, unsigned char second
) noexcept:
    # How many bytes come before the first that is less than `below`, or `first`, or `second`. Eight at a time
    # (Bit Twiddling Hacks, "Determine if a word has a byte less than n"), then one by one.
    cdef unsigned long long ones = 0x0101010101010101ULL
    cdef unsigned long long tops = 0x8080808080808080ULL
    cdef unsigned long long word, one, two
    cdef Py_ssize_t index = 0
    while index + 8 <= length:
        word = eight(at + index)
        one = word ^ ones * first
        two = word ^ ones * second
        if ((word - ones * below) & ~word | (one - ones) & ~one | (two - ones) & ~two) & tops:
            break
        index += 8
    while index < length:
        if at[index] < below or at[index] == first or at[index] == second:
            break
        index += 1
    return index


cdef inline bint has_high(const unsigned char* at, Py_ssize_t length) noexcept:
    # Whether a byte is above 127.
    cdef Py_ssize_t index = 0
    cdef unsigned long long found = 0
    while index + 8 <= length:
        found |= eight(at + index)
        index += 8
    while index < length:
        found |= at[index]
        index += 1
    return found & 0x8080808080808080ULL != 0


cdef inline int digit_count(unsigned long long value) noexcept:
    cdef int count = 1
    cdef unsigned long long limit = 10
    while value >= limit:
        count += 1
        if count == 20:
            break
        limit *= 10
    return count


cdef inline int digits_before(unsigned char* end, unsigned long long value) noexcept:
    # Writes the decimal digits of a number so that they end before `end`; how many there are.
    cdef unsigned char* at = end
    cdef unsigned int pair
    while value >= 100:
        pair = <unsigned int>(value % 100)
        value = value / 100
        at -= 2
        two_digits(at, pair)
    if value >= 10:
        at -= 2
        two_digits(at, <unsigned int>value)
    else:
        at -= 1
        at[0] = <unsigned char>(0x30 + value)
    return <int>(end - at)


cdef inline bint valid_utf8(const unsigned char* at, Py_ssize_t length) noexcept:
    # Unicode standard, table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF.
    cdef Py_ssize_t index = 0
    cdef unsigned char first, second
    while index < length:
        first = at[index]
        if first < 0x80:
            index += 1
            continue
        if first < 0xC2 or first > 0xF4 or index + 1 >= length:
            return False
        second = at[index + 1]
        if second & 0xC0 != 0x80:
            return False
        if first < 0xE0:
            index += 2
            continue
        if index + 2 >= length or at[index + 2] & 0xC0 != 0x80:
            return False
        if first < 0xF0:
            if (first == 0xE0 and second < 0xA0) or (first == 0xED and second > 0x9F):
                return False
            index += 3
            continue
        if index + 3 >= length or at[index + 3] & 0xC0 != 0x80:
            return False
        if (first == 0xF0 and second < 0x90) or (first == 0xF4 and second > 0x8F):
            return False
        index += 4
    return True


cdef inline void copy_octets(unsigned char* to, const unsigned char* at, Py_ssize_t length) noexcept:
    # Most pieces are short: two moves that may overlap cost less than a call.
    cdef unsigned long long head, tail
    cdef unsigned int half, rest
    if length > 16:
        memcpy(to, at, length)
    elif length >= 8:
        memcpy(&head, at, 8)
        memcpy(&tail, at + length - 8, 8)
        memcpy(to, &head, 8)
        memcpy(to + length - 8, &tail, 8)
    elif length >= 4:
        memcpy(&half, at, 4)
        memcpy(&rest, at + length - 4, 4)
        memcpy(to, &half, 4)
        memcpy(to + length - 4, &rest, 4)
    elif length > 0:
        to[0] = at[0]
        if length > 1:
            to[length - 1] = at[length - 1]
            to[1] = at[1]
