"""What the functions of ``vectors`` are made of, as instructions of LLVM."""

# mypy: disable-error-code="no-untyped-def,no-any-return"

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils

_FLOAT, _WHOLE, _INDEX = ir.FloatType(), ir.IntType(32), ir.IntType(64)


def vector_type(lanes, element=_FLOAT):
    return ir.VectorType(element, lanes)


def vectors_type(count, lanes):
    return ir.ArrayType(vector_type(lanes), count)


def each(builder, vectors):
    """The single vectors of a value of type ``vectors_type``."""
    return [builder.extract_value(vectors, i) for i in range(vectors.type.count)]


def joined(builder, vectors):
    """The opposite of :func:`each`."""
    made = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        made = builder.insert_value(made, vector, i)
    return made


def stepped(builder, pointer, pitch, count):
    """``count`` pointers, ``pitch`` elements apart."""
    pointers = [pointer]
    while len(pointers) < count:
        pointers.append(builder.gep(pointers[-1], [pitch]))
    return pointers


def spread_scalar(builder, scalar, lanes):
    """A number in all lanes."""
    kind = vector_type(lanes, scalar.type)
    empty = ir.Constant(kind, ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(_WHOLE, 0))
    return builder.shuffle_vector(first, empty, _lanes([0] * lanes))


def read_scalar(builder, pointer, offset):
    """The stored value at ``pointer[offset]`` as float32."""
    if offset:
        pointer = builder.gep(pointer, [ir.Constant(_INDEX, offset)])
    return _as_float(builder, builder.load(pointer), _FLOAT, _WHOLE)


def read_vector(builder, pointer, offset, lanes):
    """The stored values ``pointer[offset : offset + lanes]`` as float32."""
    if offset:
        pointer = builder.gep(pointer, [ir.Constant(_INDEX, offset)])
    element = pointer.type.pointee
    address = builder.bitcast(pointer, vector_type(lanes, element).as_pointer())
    read = builder.load(address, align=_bytes(element))
    return _as_float(builder, read, vector_type(lanes), vector_type(lanes, _WHOLE))


def write_vector(builder, vector, pointer, offset):
    """Store a vector, which need not be aligned, at ``pointer[offset:]``."""
    if offset:
        pointer = builder.gep(pointer, [ir.Constant(_INDEX, offset)])
    builder.store(vector, builder.bitcast(pointer, vector.type.as_pointer()), align=4)


def fused(builder, a, b, c):
    """``a * b + c``, rounded once."""
    name = f"llvm.fma.v{a.type.count}f32"
    kind = ir.FunctionType(a.type, [a.type] * 3)
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), [a, b, c])


def clamped(builder, vector, low, high):
    """Comparisons with NaN are false: it stays."""
    vector = builder.select(builder.fcmp_ordered("<", vector, low), low, vector)
    return builder.select(builder.fcmp_ordered(">", vector, high), high, vector)


def every_other(builder, one, other):
    """Of two vectors in a row, every second number."""
    return builder.shuffle_vector(one, other, _lanes(range(0, 2 * one.type.count, 2)))


def transposed_vectors(builder, vectors):
    """n vectors of n lanes, rows and columns swapped, in log2(n) rounds of shuffles."""
    lanes = len(vectors)
    # each round makes vector i of what vectors j and j + n/2 hold in turn: a perfect shuffle of all
    low = [i // 2 + (i % 2) * lanes for i in range(lanes)]
    high = [half + lanes // 2 for half in low]
    for _ in range(lanes.bit_length() - 1):
        vectors = [
            builder.shuffle_vector(vectors[j], vectors[j + lanes // 2], _lanes(order))
            for j in range(lanes // 2)
            for order in (low, high)
        ]
    return vectors


def summed_vectors(builder, vectors):
    """n vectors as one of n lanes: the sum of each. n and their lanes are powers of two."""
    for _ in range(vectors[0].type.count.bit_length() - 1):
        # each round adds neighbouring lanes: what is left of two vectors makes one
        pairs = _pairs(vectors) if len(vectors) > 1 else [(vectors[0],)]
        vectors = [_neighbours_added(builder, pair) for pair in pairs]
    while len(vectors) > 1:
        order = _lanes(range(2 * vectors[0].type.count))
        vectors = [builder.shuffle_vector(*pair, order) for pair in _pairs(vectors)]
    return vectors[0]


def _neighbours_added(builder, vectors):
    lanes = len(vectors) * vectors[0].type.count
    even, odd = (
        builder.shuffle_vector(vectors[0], vectors[-1], _lanes(range(first, lanes, 2)))
        for first in (0, 1)
    )
    return builder.fadd(even, odd)


def _pairs(vectors):
    return list(zip(vectors[::2], vectors[1::2], strict=True))


def read_places(builder, pointer, lanes, bits, shift):
    """``lanes`` whole numbers of 2, 4 or 8 bits, packed in bytes, each plus ``shift``."""
    wide = vector_type(lanes, _WHOLE)
    # so many lanes share a word of 32 bits; where the places are bytes, each has its own
    words = max(1, lanes * bits // 32)
    if bits == 8:
        packed = vector_type(lanes, ir.IntType(8))
        places = builder.zext(_load(builder, pointer, packed), wide)
    else:
        read = _load(builder, pointer, vector_type(words, _WHOLE))
        each_word = lanes // words
        spread = _lanes([i // each_word for i in range(lanes)])
        moved = ir.Constant(wide, [bits * (i % each_word) for i in range(lanes)])
        places = builder.lshr(builder.shuffle_vector(read, read, spread), moved)
        places = builder.and_(places, ir.Constant(wide, [(1 << bits) - 1] * lanes))
    return builder.add(places, spread_scalar(builder, builder.trunc(shift, _WHOLE), lanes))


def picked(builder, pointer, places, window, features):
    """``pointer[places]`` for 16 places below ``window``."""
    known = features.split(",")
    if "+avx512f" in known:
        tables = [read_vector(builder, pointer, i, 16) for i in range(0, window, 16)]
        name = {1: "avx512.permvar.sf.512", 2: "avx512.vpermi2var.ps.512"}[len(tables)]
        return _call_x86(builder, name, tables[0], places, *tables[1:])
    if "+avx2" in known:
        tables = [read_vector(builder, pointer, i, 8) for i in range(0, window, 8)]
        halves = [
            _picked_by_eight(
                builder, tables, builder.shuffle_vector(places, places, _lanes(range(i, i + 8)))
            )
            for i in (0, 8)
        ]
        return builder.shuffle_vector(*halves, _lanes(range(16)))
    made = ir.Constant(vector_type(16), ir.Undefined)
    for i in range(16):
        lane = ir.Constant(_WHOLE, i)
        place = builder.gep(pointer, [builder.extract_element(places, lane)])
        made = builder.insert_element(made, builder.load(place), lane)
    return made


def _picked_by_eight(builder, tables, places):
    """Each of 8 places out of tables of 8: the last 3 bits choose within each, the others which."""
    made = _call_x86(builder, "avx2.permps", tables[0], places)
    for i, table in enumerate(tables[1:], start=1):
        beyond = builder.icmp_unsigned(">=", places, ir.Constant(places.type, [8 * i] * 8))
        made = builder.select(beyond, _call_x86(builder, "avx2.permps", table, places), made)
    return made


def _call_x86(builder, name, *vectors):
    kind = ir.FunctionType(vectors[0].type, [vector.type for vector in vectors])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.{name}")
    return builder.call(function, vectors)


def _load(builder, pointer, kind):
    """A vector from an address that need not be aligned."""
    return builder.load(builder.bitcast(pointer, kind.as_pointer()), align=1)


def _as_float(builder, read, floats, wholes):
    """What the narrow storage means: see ``vectors``."""
    element = getattr(read.type, "element", read.type)
    if element == _FLOAT:
        return read
    if element.width == 8:
        return builder.sitofp(read, floats)
    upper = ir.Constant(wholes, 16 if wholes == _WHOLE else [16] * wholes.count)
    return builder.bitcast(builder.shl(builder.zext(read, wholes), upper), floats)


def _bytes(element):
    return 4 if element == _FLOAT else element.width // 8


def _lanes(order):
    return ir.Constant(vector_type(len(order), _WHOLE), list(order))
