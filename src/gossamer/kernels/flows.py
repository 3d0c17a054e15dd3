"""Maximum flow on a graph whose nodes supply or demand, in floating point."""

# mypy: disable-error-code="no-untyped-def"


def push_flow(starts, to, twin, room, supply, level, arc, path, tiny):
    """Push what nodes supply to those that demand it, as far as the rooms of the arcs allow.

    Blocking flows along shortest paths (Dinic 1970). Arcs of node i are ``starts[i]:starts[i +
    1]``, ``twin`` is the arc back; ``room`` and ``supply`` (negative for a demand) are updated.
    Rooms and supplies of ``tiny`` or less count as none. In the end ``level`` is >= 0 on the nodes
    that supply left over could still reach: the source side of the smallest minimum cut.

    level, arc, path : (n,) integers, work space.
    """
    n = supply.size
    while True:
        count = 0
        for i in range(n):
            level[i] = -1
            arc[i] = starts[i]
            if supply[i] > tiny:
                level[i] = 0
                path[count] = i
                count += 1
        done, found = 0, False
        while done < count:
            i = path[done]
            done += 1
            found = found or supply[i] < -tiny
            for a in range(starts[i], starts[i + 1]):
                j = to[a]
                if level[j] < 0 and room[a] > tiny:
                    level[j] = level[i] + 1
                    path[count] = j
                    count += 1
        if not found:
            return
        for source in range(n):
            depth, i = 0, source
            while supply[source] > tiny:
                if supply[i] < -tiny:
                    amount = min(supply[source], -supply[i])
                    for d in range(depth):
                        amount = min(amount, room[path[d]])
                    for d in range(depth):
                        room[path[d]] -= amount
                        room[twin[path[d]]] += amount
                    supply[source] -= amount
                    supply[i] += amount
                    depth, i = 0, source
                    continue
                while arc[i] < starts[i + 1]:
                    a = arc[i]
                    if room[a] > tiny and level[to[a]] == level[i] + 1:
                        break
                    arc[i] += 1
                if arc[i] < starts[i + 1]:
                    path[depth] = arc[i]
                    depth += 1
                    i = to[arc[i]]
                elif depth > 0:
                    depth -= 1
                    i = to[twin[path[depth]]]
                    arc[i] += 1
                else:
                    break
