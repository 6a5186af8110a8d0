"""Checks a Holdfast trail with nothing but Python and DuckDB, as docs/trail-proof.md describes it.

    python3 verify.py DIRECTORY [--public-key HEX]... [--anchor FILE]...

It shares no code with Holdfast. Exit status: 0 nothing wrong, 1 something is, 2 not to be read.
"""

import argparse
import hashlib
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

import duckdb

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
WINDOW = 100_000  # events that are looked at together
NOTHING = {type(None)}


def canonical(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode()


def sha(data):
    return hashlib.sha256(data).hexdigest()


# Ed25519, RFC 8032. A point is (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.
def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, p):
    q = (0, 1, 1, 0)
    while number:
        if number & 1:
            q = add(q, p)
        p, number = add(p, p), number >> 1
    return q


def point(data):
    y = int.from_bytes(data, "little") & ((1 << 255) - 1)
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P or y >= P:
        raise ValueError("not a point")
    x = P - x if x & 1 != data[31] >> 7 else x
    return x, y, 1, x * y % P


BASE = point(bytes.fromhex("58" + "66" * 31))


def is_signed(key, signature, data):
    key, signature = bytes.fromhex(key), bytes.fromhex(signature)
    if len(key) != 32 or len(signature) != 64:
        return False
    s = int.from_bytes(signature[32:], "little")
    if s >= 2**252 + 27742317777372353535851937790883648493:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + data).digest(), "little")
    a, b = times(s, BASE), add(point(signature[:32]), times(h, point(key)))
    return not ((a[0] * b[2] - b[0] * a[2]) % P or (a[1] * b[2] - b[1] * a[2]) % P)


class Check:
    def __init__(self, directory, keys, anchors):
        name = "trail.duckdb" if (directory / "trail.duckdb").exists() else "views.duckdb"
        self.db = duckdb.connect(str(directory / name), read_only=True)
        self.file, self.keys, self.anchors, self.wrong = (
            directory / "checkpoints.jsonl",
            keys,
            anchors,
            0,
        )
        self.tables = {row[0] for row in self.db.execute("SHOW TABLES").fetchall()}
        self.states, self.hosts, self.number = {}, {}, 0
        self.signers, self.graves, self.gone, self.here = set(), {}, 0, (None, [], [])
        about = "schema_version" if "schema_version" in self.tables else "about"
        ((self.trail,),) = self.rows(f"SELECT any_value(trail) FROM {about}")
        self.all_events = f"({self.where_events_are(directory)})"

    def say(self, what, where, which):
        self.wrong += 1
        print(f"{what}: {where}: {which}")

    def where_events_are(self, directory):
        if "schema_version" not in self.tables:  # views.duckdb says where they are
            return self.with_when("FROM events")
        tails = [name for name in ("events_tail", "events_old") if name in self.tables]
        parts = [self.with_when(f"FROM {name}") for name in tails]
        for name, trail in self.rows("SELECT DISTINCT file, trail FROM segments, schema_version"):
            part = f"FROM '{directory / 'segments' / trail / name}'"
            try:
                self.db.execute(f"SELECT count(*) {part}")
                parts.append(self.with_when(part))
            except duckdb.Error:
                self.say("dropped", "segments", f"{name} cannot be read")
        return " UNION ALL BY NAME ".join(parts)

    def with_when(self, part):  # made from time_ns where a file does not have it yet
        if "when" in {row[0] for row in self.rows(f"DESCRIBE {part}")}:
            return part
        return f'SELECT *, make_timestamp(time_ns // 1000) AS "when" {part}'

    def rows(self, sql, *values):
        cursor = self.db.cursor().execute(sql, list(values))
        while chunk := cursor.fetchmany(2000):
            yield from chunk

    def checkpoints(self):
        copies = {path: lines(path) for path in [self.file, *self.anchors] if path.exists()}
        lost = set(self.lost_rows())
        previous, columns = "0" * 64, "number, previous, digest, line"
        for number, said, digest, line in self.rows(
            f"SELECT {columns} FROM checkpoints ORDER BY 1"
        ):
            where, whole = f"checkpoint {number}", sha(line.encode())
            for path, kept in copies.items():
                copy, what = kept.pop(number, None), "changed" if path == self.file else "forged"
                if copy not in (None, whole):
                    self.say(what, path.name, f"{where} is another one")
                elif copy is None and path == self.file:
                    self.say("truncated", path.name, f"{where} is missing")
            if number != self.number + 1:
                self.say("dropped", "checkpoints", f"{self.number + 1} to {number - 1}")
                previous = said
            self.number = number
            try:
                body = json.loads(line)
                signature = body.pop("signature")
                data = b"holdfast checkpoint 1\0" + canonical(body)
                same = canonical({**body, "signature": signature}).decode() == line
                if (body["number"], digest) != (number, whole) or not same:
                    self.say("changed", "checkpoints", where)
                elif not is_signed(body["key"], signature, data):
                    self.say("changed", "checkpoints", f"{where}: its signature does not fit")
                elif not said == body["previous"] == previous:
                    self.say("changed", "checkpoints", f"{where} does not follow from the last")
                self.signers.add(body["key"])
                if self.keys and body["key"] not in self.keys:
                    self.say("forged", "checkpoints", f"{where} is signed by {body['key']}")
                self.hosts.update({host: (number, chain) for host, number, chain in body["hosts"]})
                for name, columns, *state in [] if number in lost else body["tables"]:
                    self.states.setdefault((name, columns), []).append(state)
            except (ValueError, KeyError, TypeError) as error:
                self.say("changed", "checkpoints", f"{where}: {error}")
            previous = whole
        for path, kept in copies.items():
            for number in kept:
                self.say("truncated", "checkpoints", f"{number} is in {path.name} alone")

    def lost_rows(self):
        """Checkpoints of a disk that was lost: their rows came again in another order."""
        for number, line in self.rows("SELECT number, line FROM checkpoints"):
            try:
                newest, _, _ = json.loads(line)["restored"]
                numbers = range(newest + 1, number)
            except (ValueError, KeyError, TypeError):
                continue
            print(f"note: a backup with checkpoint {newest} was put back; {number} says so")
            yield from numbers

    def table(self, name, columns, states):
        names = [row[0] for row in self.db.execute(f'DESCRIBE "{name}"').fetchall()][:columns]
        running, count, (want, digest, _) = "0" * 64, 0, states[-1]
        leaves = self.leaves(name, names)
        for leaf in itertools.islice(leaves, want):
            running, count = sha(bytes.fromhex(running) + bytes.fromhex(leaf)), count + 1
        if (count, running) == (want, digest):
            return
        known = "".join(marks for _, _, marks in states)
        signed = [known[at : at + 12] for at in range(0, len(known), 12)]
        if len(signed) != want:
            return self.say("changed", name, f"one of the rows up to {want}")
        found = [leaf[:12] for leaf in self.leaves(name, names)]
        gone, new = without(signed, found), without(found, signed)
        tail = max((at for at in range(len(found)) if at not in set(new)), default=-1) + 1
        new = [at for at in new if at < max(tail, want)]
        for at in sorted({*gone, *new}):
            lost = "truncated" if at >= len(found) else "dropped"
            what = lost if at not in new else "changed" if at in gone else "inserted"
            self.say(what, name, f"row {at + 1}")
        if not gone and not new:
            first = next(at for at in range(want) if signed[at] != found[at])
            self.say("reordered", name, f"from row {first + 1}")

    def leaves(self, name, names):
        for row in self.rows(f'SELECT {", ".join(map(quoted, names))} FROM "{name}"'):
            plain = [value.hex() if isinstance(value, bytes) else value for value in row]
            yield sha(canonical(["holdfast row 1", name, dict(zip(names, plain))]))

    def tombstones(self):
        """What retention has dropped, by host: [both ends, kind, row, number, counted, fork]."""
        names = [row[0] for row in self.rows("DESCRIBE tombstones")]
        for number, values in enumerate(self.rows("SELECT * FROM tombstones"), 1):
            row = dict(zip(names, values))
            body = {name: value for name, value in row.items() if name != "signature"}
            data = canonical(["holdfast tombstone 1", self.trail, body])
            try:
                fits = is_signed(
                    row["signed_by"], row["signature"], b"holdfast tombstone 1\0" + data
                )
            except (ValueError, TypeError):
                fits = False
            if not fits:
                self.say("changed", "tombstones", f"row {number}: its signature does not fit")
            elif row["signed_by"] not in (self.keys or self.signers or [row["signed_by"]]):
                self.say("forged", "tombstones", f"row {number} is signed by {row['signed_by']}")
            else:
                ends = row["first_batch"], row["last_batch"]
                grave = [*ends, row["kind"], row, number, 0, False]
                self.graves.setdefault(row["host"], []).append(grave)

    def buried(self, host, batch, count, parts, received, fork):
        """How many events of which kinds of a batch tombstones say are gone; "" is all kinds."""
        if host != self.here[0]:
            waiting = sorted(self.graves.get(host, []), key=lambda grave: grave[0], reverse=True)
            self.here = host, waiting, []
        _, waiting, near = self.here
        while waiting and waiting[-1][0] <= batch:
            near.append(waiting.pop())
        near[:] = [grave for grave in near if grave[1] >= batch]
        kinds = {}
        for grave in near:
            _, _, kind, row, number, _, _ = grave
            events = sum(n for k, n, _ in parts if k == kind) if kind else count
            grave[5:] = grave[5] + events, grave[6] or fork
            if events and received + row["kept_ns"] > row["time_ns"]:
                which = f"batch {batch} was younger than row {number} of tombstones allows"
                self.say("dropped", f"events of {host}", which)
            if events:
                kinds[kind] = events
        return kinds

    def chains(self):
        odd, before = {}, (None, 0, 1, {"0" * 64})
        for host, sequence, kind in self.rows("SELECT host, sequence, kind FROM chain_breaks"):
            odd.setdefault((host, sequence), set()).add(kind)
        fields = "host, sequence, first, count, previous, chain, gap_events, last_event_ns, groups"
        fields += ", chain_version, received_ns"
        for row in self.rows(f"SELECT {fields} FROM batches ORDER BY 1, 2, chain"):
            host, number, first, count, previous, chain, gaps, newest, groups, version, at = row
            known, where = odd.get((host, number), set()), f"events of {host}"
            last = before if before[0] == host else (host, 0, 1, {"0" * 64})
            again = number == last[1]
            if again and "fork" not in known:
                self.say("inserted", where, f"a second batch {number}")
            if number > last[1] + 1 and "gap" not in known:
                self.say("dropped", where, f"batches {last[1] + 1} to {number - 1}")
            fits = previous in last[3] and (first == last[2] or len(last[3]) > 1)
            if number == last[1] + 1 and "broken" not in known and not fits:
                self.say("changed", where, f"batch {number} does not follow from the last")
            if self.hosts.get(host) == (number, chain):
                del self.hosts[host]
            try:
                parts = json.loads(groups)
                kinds = {kind: leaf for kind, _, leaf in parts}
            except (ValueError, TypeError):
                parts, kinds = None, {}
            head = ["holdfast chain 2", host, number, first, count, previous, gaps, newest, parts]
            if version == 2 and sha(canonical(head)) != chain:
                self.say("changed", where, f"batch {number}")
            whole = version == 2 and not again and not known & {"fork", "unknown_columns"}
            fork = "fork" in known or again
            gone = self.buried(host, number, count, parts or [], at, fork)
            yield host, number, first, count, kinds if whole else None, fork, gone, parts or []
            before = (host, number, first + count, last[3] | {chain} if again else {chain})
        for host, (number, _) in self.hosts.items():
            self.say("dropped", f"events of {host}", f"batch {number}, which is signed")
        for _, _, _, row, number, counted, fork in itertools.chain(*self.graves.values()):
            if counted != row["events"] and not fork:
                which = f"row {number} says {row['events']} events, its batches had {counted}"
                self.say("changed", "tombstones", which)

    def events(self):
        names = [row[0] for row in self.rows(f"DESCRIBE FROM {self.all_events}")]
        names = sorted(name for name in names if name not in ("host", "batch", "kind", "when"))
        sql = f"SELECT batch, kind, {', '.join(map(quoted, names))} FROM {self.all_events}"
        sql += " WHERE host = ? AND batch BETWEEN ? AND ? ORDER BY batch, kind, number"
        for run in windows(self.chains()):
            host, found = run[0][0], {}
            rows = self.rows(sql, host, run[0][1], run[-1][1])
            for (batch, kind), group in itertools.groupby(rows, lambda row: row[:2]):
                columns = zip(names, zip(*(row[2:] for row in group)))
                filled = {name: all_ for name, all_ in columns if set(map(type, all_)) != NOTHING}
                found.setdefault(batch, {})[kind] = filled
            for _, batch, first, count, leaves, fork, gone, parts in run:
                self.gone += gone.get("", sum(gone.values()))
                if not fork and gone:
                    self.rest(host, batch, leaves, found.get(batch, {}), gone, parts)
                elif not fork:
                    self.batch(host, batch, first, count, leaves, found.get(batch, {}))
        odd = '"when" IS DISTINCT FROM make_timestamp(time_ns // 1000) GROUP BY ALL ORDER BY ALL'
        odd = f"SELECT host, batch, count(*) FROM {self.all_events} WHERE {odd}"
        for host, batch, count in self.rows(odd):
            self.say("changed", f"events of {host}", f"when of {count} events of batch {batch}")
        here = "(SELECT host, sequence FROM batches)"
        orphans = f"SELECT DISTINCT host, batch FROM {self.all_events}"
        for host, batch in self.rows(f"{orphans} WHERE (host, batch) NOT IN {here}"):
            self.say("inserted", f"events of {host}", f"of a batch {batch} that is not there")

    def batch(self, host, batch, first, count, leaves, found):
        have = Counter(number for columns in found.values() for number in columns["number"])
        want = Counter(range(first, first + count))
        for what, numbers in (("dropped", want - have), ("inserted", have - want)):
            if numbers:
                self.say(what, f"events of {host}", f"{sorted(numbers)[:20]} of batch {batch}")
        if leaves is None or have != want:
            return
        self.compare(host, batch, leaves, found)

    def rest(self, host, batch, leaves, found, gone, parts):
        """What is there of a batch from which kinds were dropped: the leaves have the numbers."""
        want, left = {kind: count for kind, count, _ in parts}, {}
        for kind in sorted({*found, *want}):
            have, which = (
                len(found.get(kind, {}).get("number", [])),
                f"kind {kind} in batch {batch}",
            )
            wanted = 0 if "" in gone or kind in gone else want.get(kind, 0)
            if have > wanted:
                self.say("inserted", f"events of {host}", f"{have - wanted} of {which}")
            elif have < wanted:
                self.say("dropped", f"events of {host}", f"{wanted - have} of {which}")
            elif have:
                left[kind] = found[kind]
        if leaves is not None:
            self.compare(host, batch, {kind: leaves.get(kind) for kind in left}, left)

    def compare(self, host, batch, leaves, found):
        made = {k: sha(canonical(["holdfast leaf 2", host, batch, k, v])) for k, v in found.items()}
        for kind in sorted({*made, *leaves}):
            if made.get(kind) != leaves.get(kind):
                numbers = found.get(kind, {}).get("number", [])
                which = f"kind {kind} in batch {batch}: one of {list(numbers[:20])}"
                self.say("changed", f"events of {host}", which)

    def run(self):
        self.checkpoints()
        for (name, columns), states in sorted(self.states.items()):
            if name in self.tables:
                self.table(name, columns, states)
            else:
                self.say("dropped", name, "the whole table")
        if "tombstones" in self.tables:
            self.tombstones()
        buried = sum(map(len, self.graves.values()))
        self.events()
        state = "anchored" if self.anchors else "unanchored, unless an anchor has its checkpoints"
        if not self.keys:
            state += "; NO PUBLIC KEY was given to check by"
        if buried:
            state = f"{self.gone} events dropped by retention, under {buried} tombstones; {state}"
        print(f"{self.number} checkpoints; {self.wrong} things wrong; {state}")
        return 1 if self.wrong else 0


def lines(path):
    found = {}
    for place, line in enumerate(path.read_text().splitlines(), 1):
        try:
            number, digest = json.loads(line)["number"], sha(line.encode())
            found[number if found.get(number, digest) == digest else f"line {place}"] = digest
        except (ValueError, KeyError, TypeError):
            found[f"line {place}"] = ""
    return found


def windows(batches):  # lists of the batches of one host, with about so many events
    run, size = [], 0
    for batch in batches:
        if run and (batch[0] != run[0][0] or size > WINDOW):
            yield run
            run, size = [], 0
        run.append(batch)
        size += batch[3]
    if run:
        yield run


def without(these, others):
    left, places = Counter(others), []
    for at, one in enumerate(these):
        left[one] -= 1
        if left[one] < 0:
            places.append(at)
    return places


def quoted(name):
    return f'"{name}"'


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("directory", type=Path)
    words.add_argument("--public-key", action="append", default=[])
    words.add_argument("--anchor", action="append", default=[], type=Path)
    given = words.parse_args()
    try:
        sys.exit(Check(given.directory, given.public_key, given.anchor).run())
    except (duckdb.Error, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
