"""Checks a Holdfast trail with nothing but Python and DuckDB, as docs/trail-proof.md describes it.

    python3 verify.py DIRECTORY [--public-key HEX]... [--anchor FILE]...

It shares no code with Holdfast. Exit status: 0 nothing wrong, 1 something is, 2 not to be read.
"""

import argparse
import hashlib
import itertools
import json
import re
import struct
import sys
from collections import Counter
from pathlib import Path

import duckdb

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
WINDOW = 100_000  # events that are looked at together
NOTHING = {type(None)}
# By the type of a column: how its values are compared.
KINDS = {"BIGINT": "{}", "BOOLEAN": "{}", "BLOB": "{}", "TIMESTAMP": "epoch_us({})"}
KINDS |= {"VARCHAR": "encode({})", "VARCHAR[]": "encode({})"}
# Conditions stay above the scan, and nothing is made of statistics.
UNBELIEVING = "SET disabled_optimizers = 'filter_pushdown,statistics_propagation'"


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


# Bloom filters of Parquet: blocks of eight words, and XXH64, https://xxhash.com.
P1, P2, P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P4, P5, M = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 2**64 - 1
SALTS = "47b6137b 44974d91 8824ad5b a2b7289d 705495c7 2df1424b 9efc4947 5c6bfb31"
SALTS = [int(salt, 16) for salt in SALTS.split()]


def rotated(x, by):
    return (x << by | x >> 64 - by) & M


def rounded(lane, word):
    return rotated(lane + word * P2 & M, 31) * P1 & M


def xxh64(data):
    at, lanes, h = 0, [P1 + P2 & M, P2, 0, -P1 & M], P5
    while at + 32 <= len(data):
        words = struct.unpack_from("<4Q", data, at)
        lanes, at = [rounded(*both) for both in zip(lanes, words)], at + 32
    if at:
        h = sum(rotated(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18))) & M
        for lane in lanes:
            h = (h ^ rounded(0, lane)) * P1 + P4 & M
    h = h + len(data) & M
    while at + 8 <= len(data):
        word = int.from_bytes(data[at : at + 8], "little")
        h, at = rotated(h ^ rounded(0, word), 27) * P1 + P4 & M, at + 8
    if at + 4 <= len(data):
        word = int.from_bytes(data[at : at + 4], "little")
        h, at = rotated(h ^ word * P1 & M, 23) * P2 + P3 & M, at + 4
    for byte in data[at:]:
        h = rotated(h ^ byte * P5 & M, 11) * P1 & M
    h = (h ^ h >> 33) * P2 & M
    h = (h ^ h >> 29) * P3 & M
    return h ^ h >> 32


def bits_of(path, offset):
    """The filter at a place of a file, without its head: the size, then split-block and XXH64."""
    with path.open("rb") as file:
        file.seek(offset)
        head = file.read(32)
        form = re.match(rb"\x15([\x80-\xff]{0,4}[\0-\x7f])(?:\x1c\x1c\0\0){3}\0", head, re.DOTALL)
        if not form:
            raise ValueError("not a filter as collectors write them")
        size = sum((byte & 127) << 7 * at for at, byte in enumerate(form[1])) // 2
        file.seek(offset + form.end())
        bits = file.read(size)
    if not bits or len(bits) != size or size % 32:
        raise ValueError("not a whole filter")
    return bits


def denied(bits, value):  # whether the filter says that there is no such value
    h = xxh64(value)
    block, low = (h >> 32) * (len(bits) // 32) >> 32, h & 0xFFFFFFFF
    places = [
        256 * block + 32 * at + ((low * salt & 0xFFFFFFFF) >> 27) for at, salt in enumerate(SALTS)
    ]
    return not all(bits[place >> 3] >> (place & 7) & 1 for place in places)


class Check:
    def __init__(self, directory, keys, anchors):
        name = "trail.duckdb" if (directory / "trail.duckdb").exists() else "views.duckdb"
        self.db = duckdb.connect(str(directory / name), read_only=True)
        self.free = duckdb.connect()  # reads files, whatever they say of themselves
        self.free.execute(UNBELIEVING)
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

    def files(self):
        """Check what the files that questions read say of their rows, and `segments` of them."""
        listed, names = {}, "file, rows, first_ns, last_ns, columns, bytes, missing_ns"
        if "schema_version" in self.tables:
            for name, *row in self.rows(f"SELECT {names} FROM segments"):
                listed[self.file.with_name("segments") / self.trail / name] = row
        else:
            for (sql,) in self.rows("SELECT sql FROM duckdb_views() WHERE NOT internal"):
                found = re.findall(r"'((?:[^']|'')+\.parquet)'", sql)
                listed.update((Path(name.replace("''", "'")), None) for name in found)
        for path in sorted(listed):
            try:
                said, found = listed[path], self.statistics(path)
                found += [path.stat().st_size] if said else []
            except (duckdb.Error, OSError, KeyError, UnicodeError) as error:  # also: odd columns
                self.say("changed", "segments", f"{path.name}: its rows cannot be read: {error}")
                continue
            for what, is_so, says in zip(names.split(", ")[1:], [*found, None], said or ()):
                if is_so != says:
                    which = f"the row of {path.name}: {what} is {says}, and not {is_so}"
                    self.say("changed", "segments", which)

    def statistics(self, path):
        """Compare them with the rows; return how many those are, their times, and the columns."""
        file, ask = str(path), lambda *words: self.free.execute(*words).fetchall()
        columns = dict(row[:2] for row in ask("DESCRIBE FROM read_parquet(?)", [[file]]))
        fields = "row_group_id, row_group_num_rows, path_in_schema, num_values, stats_null_count"
        fields += (
            ", [stats_min, stats_min_value], [stats_max, stats_max_value], bloom_filter_offset"
        )
        chunks = ask(f"SELECT {fields} FROM parquet_metadata(?)", [file])
        groups, end = "CASE", 0
        for group, rows in sorted({chunk[:2] for chunk in chunks}):
            end += rows
            groups += f" WHEN file_row_number < {end} THEN {group}"
        groups += " ELSE -1 END" if chunks else " WHEN true THEN 0 END"
        source = "FROM read_parquet(?, file_row_number = true)"
        parts = [aggregates(quoted(name), kind) for name, kind in columns.items()]
        found = ask(
            f"SELECT {groups} AS g, count(*), {', '.join(parts)} {source} GROUP BY g", [[file]]
        )
        found = {group: (rows, dict(zip(columns, values))) for group, rows, *values in found}
        for group, rows, name, values, nulls, lows, highs, bloom in chunks:
            column = name.partition(", ")[0]
            kind, place = columns[column], f"{path.name}, row group {group}, column {column}"
            have, there = found.get(group, (0, {}))
            count, gone, low, high = there.get(column, (0, 0, None, None))
            if (rows, values) != (have, count) or nulls not in (None, gone):
                self.say("changed", "segments", f"{place}: it says other numbers of rows or NULLs")
            for said, is_wrong in ((lows, low.__lt__), (highs, high.__gt__)):
                for text in said if low is not None else ():
                    sql = "SELECT " + KINDS[kind].format(f"TRY_CAST(? AS {kind.strip('[]')})")
                    value = None if text is None else ask(sql, [text])[0][0]
                    if text is not None and (value is None or is_wrong(value)):
                        self.say("changed", "segments", f"{place}: {text[:80]!r} is not one end")
            if bloom is not None:
                column = quoted(column)
                sql = f"SELECT DISTINCT encode({column}) FROM (SELECT {column}, {groups} AS g"
                sql += f" {source}) WHERE g = ? AND {column} IS NOT NULL"
                try:
                    bits = bits_of(path, bloom)
                    wrong = [one for (one,) in ask(sql, [[file], group]) if denied(bits, one)][:1]
                except (ValueError, duckdb.Error) as error:
                    wrong = [error]
                for one in wrong:
                    self.say("changed", "segments", f"{place}: its Bloom filter denies {one}")
        count = sum(rows for rows, _ in found.values())
        ((said,),) = ask("SELECT num_rows FROM parquet_file_metadata(?)", [file])
        if said != count:
            self.say("changed", "segments", f"{path.name}: it says {said} rows, and has {count}")
        times = [there["time_ns"] for _, there in found.values() if there.get("time_ns")]
        ends = [
            min((one[2] for one in times), default=0),
            max((one[3] for one in times), default=0),
        ]
        return [count, *ends, len(columns)]

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
        filled = "* REPLACE (coalesce(number, -1) AS number, coalesce(kind, '') AS kind)"
        sql = f"SELECT batch, kind, {', '.join(map(quoted, names))} FROM"
        sql += f" (SELECT {filled} FROM {self.all_events})"
        sql += " WHERE host = ? AND batch BETWEEN ? AND ? ORDER BY batch, kind, number"
        seen, last = 0, None
        for run in windows(self.chains()):
            host, found = run[0][0], {}
            rows = self.rows(sql, host, run[0][1], run[-1][1])
            for (batch, kind), group in itertools.groupby(rows, lambda row: row[:2]):
                columns = zip(names, zip(*(row[2:] for row in group)))
                filled = {name: all_ for name, all_ in columns if set(map(type, all_)) != NOTHING}
                found.setdefault(batch, {})[kind] = filled
            for _, batch, first, count, leaves, fork, gone, parts in run:
                here = [len(columns["number"]) for columns in found.get(batch, {}).values()]
                seen, last = seen + ((host, batch) != last) * sum(here), (host, batch)
                self.gone += gone.get("", sum(gone.values()))
                if not fork and gone:
                    self.rest(host, batch, leaves, found.get(batch, {}), gone, parts)
                elif not fork:
                    self.batch(host, batch, first, count, leaves, found.get(batch, {}))
        self.db.execute(UNBELIEVING)
        ((count, _, _),) = self.rows(
            f"SELECT count(*), max(host), max(batch) FROM {self.all_events}"
        )
        self.db.execute("RESET disabled_optimizers")
        if count != seen:
            self.say(
                "inserted", "events", f"{count} are there, {seen} were found by host and batch"
            )
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
        self.files()
        if "tombstones" in self.tables:
            self.tombstones()
        buried = sum(map(len, self.graves.values()))
        try:
            self.events()
        except duckdb.Error as error:
            if not self.wrong:
                raise
            self.say("changed", "events", f"the rest cannot be read: {error}")
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


def aggregates(column, kind):  # values, NULLs, the least and the greatest, as Parquet counts them
    low, high = (f"min({column})", f"max({column})")
    values, nulls = "count(*)", f"count(*) - count({column})"
    if kind == "VARCHAR[]":  # an absent list and an empty one are one NULL each
        low, high = f"min(list_min({column}))", f"max(list_max({column}))"
        values = f"sum(greatest(coalesce(len({column}), 0), 1))"
        nulls = f"sum(coalesce(nullif(len({column}), 0) - list_count({column}), 1))"
    low, high = KINDS[kind].format(low), KINDS[kind].format(high)
    return f"({values}::BIGINT, {nulls}::BIGINT, {low}, {high})"


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
