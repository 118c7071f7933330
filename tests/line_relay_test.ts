import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { LineRelay } from "../_line_relay.ts";

const LONGEST_LINE_BYTES = 1 << 16;
const TAIL_BYTES = 2_048;
const TAIL_LINES = 10;

function encode(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

function decode(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes);
}

/** A relay, and what it has passed on, write by write. */
function makeRelay(): { relay: LineRelay; writes: string[] } {
  const writes: string[] = [];
  const relay = new LineRelay({
    writeSync(piece) {
      writes.push(decode(piece));
      return piece.length;
    },
  });
  return { relay, writes };
}

/** Cuts bytes at these places. */
function cut(all: Uint8Array, places: readonly number[]): Uint8Array[] {
  const ends = [
    ...places.map((place) => place % (all.length + 1)),
    all.length,
  ].sort((a, b) => a - b);
  return ends.map((end, i) => all.slice(ends[i - 1] ?? 0, end));
}

// ------------------------------------------------------------------- lines

Deno.test("LineRelay.push() passes whole lines on, and keeps the rest", () => {
  const { relay, writes } = makeRelay();
  for (const piece of ["a", "", "b\n", "c\nd\ne", "f", "\n", "\n\ng\n"]) {
    relay.push(encode(piece));
  }
  assertEquals(writes, ["ab\n", "c\nd\n", "ef\n", "\n\ng\n"]);
  relay.end();
  assertEquals(writes.length, 4);
});

Deno.test("LineRelay.end() ends a line that has no end, once", () => {
  const { relay, writes } = makeRelay();
  relay.push(encode("a\nb"));
  relay.push(encode("c"));
  relay.end();
  relay.end();
  assertEquals(writes, ["a\n", "bc\n"]);
});

Deno.test("LineRelay.end() writes nothing where nothing came", () => {
  const { relay, writes } = makeRelay();
  relay.push(new Uint8Array());
  relay.end();
  assertEquals(writes, []);
  assertEquals(relay.lastLines, "");
});

Deno.test("LineRelay.push() keeps copies: the piece may be used again", () => {
  const { relay, writes } = makeRelay();
  const piece = encode("a\nb");
  relay.push(piece);
  piece.fill(0x78);
  relay.end();
  assertEquals(writes, ["a\n", "b\n"]);
  assertEquals(relay.lastLines, "a\nb");
});

Deno.test("any lines in any pieces: each write is whole lines, and all come in order", () => {
  const text = fc.array(
    fc.constantFrom("a", "é", "😀", "\n", "\r\n", "\x1e", "\0", "word "),
    { maxLength: 60 },
  ).map((units) => units.join(""));
  fc.assert(
    fc.property(
      text,
      fc.array(fc.nat(), { maxLength: 20 }),
      (text, places) => {
        const { relay, writes } = makeRelay();
        for (const piece of cut(encode(text), places)) relay.push(piece);
        const whole = text.slice(0, text.lastIndexOf("\n") + 1);
        assertEquals(writes.join(""), whole);
        relay.end();
        const isEnded = text === whole;
        assertEquals(writes.join(""), isEnded ? text : text + "\n");
        for (const write of writes) assert(write.endsWith("\n"));
      },
    ),
    { numRuns: 1_000 },
  );
});

Deno.test("two LineRelays on one target do not mix their lines", () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.boolean(), fc.constantFrom("1", "12\n", "\n")), {
        maxLength: 30,
      }),
      (pieces) => {
        let all = "";
        const target = {
          writeSync(piece: Uint8Array) {
            all += decode(piece);
            return piece.length;
          },
        };
        const relays = [new LineRelay(target), new LineRelay(target)];
        for (const [isFirst, text] of pieces) {
          const [relay, mark] = isFirst ? [relays[0], "a"] : [relays[1], "b"];
          relay.push(encode(text.replace(/\d/g, mark)));
        }
        for (const relay of relays) relay.end();
        for (const line of all.split("\n")) {
          assert(/^(a*|b*)$/.test(line), line);
        }
      },
    ),
    { numRuns: 500 },
  );
});

// -------------------------------------------------------------- long lines

Deno.test("LineRelay.push() holds a line of LONGEST_LINE_BYTES back, and a longer one no more", () => {
  const { relay, writes } = makeRelay();
  const line = "x".repeat(LONGEST_LINE_BYTES);
  relay.push(encode(line));
  assertEquals(writes, []);
  relay.push(encode("y"));
  assertEquals(writes.join(""), line + "y");
  relay.push(encode("z\nnext\n"));
  assertEquals(writes.join(""), line + "yz\nnext\n");
});

Deno.test("LineRelay passes a line of a megabyte on as it was, in any pieces", () => {
  const line = "0123456789".repeat(100_000) + "\n";
  for (const size of [1_000, 65_535, 65_536, 65_537, 2_000_000]) {
    const { relay, writes } = makeRelay();
    for (let at = 0; at < line.length; at += size) {
      relay.push(encode(line.slice(at, at + size)));
    }
    relay.end();
    assertEquals(writes.join(""), line);
  }
});

Deno.test("LineRelay.end() ends a line also where all of it was passed on, as it was long", () => {
  const { relay, writes } = makeRelay();
  relay.push(encode("x".repeat(LONGEST_LINE_BYTES + 1)));
  relay.end();
  assert(
    writes.join("").endsWith("x\n"),
    "the next process's output goes on in this line",
  );
});

// --------------------------------------------------------------- last lines

Deno.test("LineRelay.lastLines gives the last lines, at most ten, without the end of the last", () => {
  const { relay } = makeRelay();
  relay.push(encode("a"));
  assertEquals(relay.lastLines, "a");
  relay.push(encode("b\nc\n\n"));
  assertEquals(relay.lastLines, "ab\nc");
  const lines = Array.from({ length: 25 }, (_, i) => `line ${i}`);
  relay.push(encode(lines.join("\n") + "\n"));
  assertEquals(relay.lastLines, lines.slice(-TAIL_LINES).join("\n"));
  relay.end();
  assertEquals(relay.lastLines, lines.slice(-TAIL_LINES).join("\n"));
});

Deno.test("LineRelay.lastLines is bounded whatever comes, in any pieces", () => {
  for (const size of [1, 100, 3_000]) {
    const { relay } = makeRelay();
    for (let at = 0; at < 6_000; at += size) {
      relay.push(new Uint8Array(Math.min(size, 6_000 - at)).fill(0x78));
    }
    assertEquals(relay.lastLines, "x".repeat(TAIL_BYTES));
  }
  const { relay } = makeRelay();
  relay.push(new Uint8Array(5_000).fill(0xff));
  assert(relay.lastLines.length <= TAIL_BYTES);
  relay.push(new Uint8Array(5_000).fill(0x0a));
  assertEquals(relay.lastLines, "");
});

Deno.test("any text: lastLines is the same in any pieces, a part of the end", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom("a", "\n", "word ", "x".repeat(300)), {
        maxLength: 40,
      }),
      fc.array(fc.nat(), { maxLength: 10 }),
      (units, places) => {
        const text = units.join("");
        const { relay } = makeRelay();
        for (const piece of cut(encode(text), places)) relay.push(piece);
        const last = relay.lastLines;
        assert(text.trimEnd().endsWith(last));
        assert(last.length <= TAIL_BYTES);
        const lines = last.split("\n").length;
        assert(lines <= TAIL_LINES);
        // as much as may be: all that came, ten lines, or all that is kept
        const end = text.slice(-TAIL_BYTES).trimEnd().split("\n");
        assertEquals(lines, Math.min(TAIL_LINES, end.length));
      },
    ),
    { numRuns: 500 },
  );
});

// ------------------------------------------------------------- bad targets

Deno.test("LineRelay.push() on a target that throws goes on, and keeps the last lines", () => {
  let calls = 0;
  const relay = new LineRelay({
    writeSync(): number {
      calls++;
      throw new Deno.errors.BrokenPipe("nobody reads");
    },
  });
  relay.push(encode("a\nb"));
  relay.push(encode("\n"));
  relay.push(encode("x".repeat(LONGEST_LINE_BYTES + 1)));
  relay.push(encode("\nlast"));
  relay.end();
  assert(calls >= 4, `${calls} writes were tried`);
  assertEquals(relay.lastLines, "last"); // of the long line only the end is there
});

Deno.test("LineRelay.push() on a target that takes some bytes, or none just now: all come", () => {
  let all = "", calls = 0;
  const relay = new LineRelay({
    writeSync(piece) {
      if (++calls % 3 === 0) throw new Deno.errors.WouldBlock("try again");
      const part = piece.subarray(0, 2);
      all += decode(part);
      return part.length;
    },
  });
  relay.push(encode("abcdefg\nhij"));
  relay.end();
  assertEquals(all, "abcdefg\nhij\n");
});
