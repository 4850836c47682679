/* SPDX-License-Identifier: BSD-3-Clause
 * control/client/shared_ring.h: one end, gmespd, serves two rings in turn. The peer of one keeps the
 * rules; the peer of the other writes whatever it likes into its shared memory, at any moment, and
 * stops at any moment: a crash. Claimed, with every interleaving tried:
 *  - the honest ring's records are taken once each, in order, untorn, whatever the liar does;
 *  - the end that does not trust never has more than SLOTS records before it, so that no number in the
 *    memory leads it beyond the slots or into more work than a ring full;
 *  - a ring that was found broken is never touched again;
 *  - neither call waits for anybody: no state without a next step.
 * gmespd consumes (commands), or produces with -DPRODUCES (answers). Numbers count modulo NUMBERS, as
 * they do modulo 2^64: more records than that pass.
 * -DTRUSTING: without the judgement of the told index, which must be found out (tests/model/run).
 */
#define SLOTS 2
#define NUMBERS 8 /* a power of two, more than twice SLOTS */
#define RECORDS 9
#ifndef LIES
#define LIES 2
#endif
#define LIAR 0
#define HONEST 1

#define minus(a, b) (((a) + NUMBERS - (b)) % NUMBERS)
#define next(a) (((a) + 1) % NUMBERS)

/* The memory that both ends can write. A record is two halves: it can be seen torn. */
typedef Ring {
  byte produced;
  byte consumed;
  byte front[SLOTS];
  byte back[SLOTS]
};
Ring ring[2];

/* What one end keeps to itself. */
typedef End {
  byte produced;
  byte consumed;
  bool broken
};

byte taken; /* records of the honest ring that came out */

inline judge_consumed(end, told) { /* RingProducer::look() */
#ifndef TRUSTING
  if
  :: minus(end.produced, told) > minus(end.produced, end.consumed) -> end.broken = true
  :: else -> end.consumed = told
  fi;
#else
  end.consumed = told;
#endif
  assert(minus(end.produced, end.consumed) <= SLOTS)
}

inline judge_produced(end, told) { /* RingConsumer::look() */
#ifndef TRUSTING
  if
  :: minus(told, end.consumed) > SLOTS -> end.broken = true
  :: else -> end.produced = told
  fi;
#else
  end.produced = told;
#endif
  assert(minus(end.produced, end.consumed) <= SLOTS)
}

/* One access to the shared memory is one step, with what an end then does to its own.
 * slot(), the record's two halves, publish(). ok: there was room. */
inline put(r, end, value, told, ok) {
  atomic {
    ok = false;
    if
    :: !end.broken && minus(end.produced, end.consumed) == SLOTS ->
      told = ring[r].consumed; /* read once */
      judge_consumed(end, told);
      told = 0
    :: else
    fi
  }
  if
  :: !end.broken && minus(end.produced, end.consumed) < SLOTS ->
    ring[r].front[end.produced % SLOTS] = value;
    ring[r].back[end.produced % SLOTS] = value;
    d_step {
      end.produced = next(end.produced);
      ring[r].produced = end.produced;
      ok = true
    }
  :: else
  fi
}

/* front(), the copy, pop(). ok: there was a record. */
inline get(r, end, first, second, told, ok) {
  atomic {
    ok = false;
    if
    :: !end.broken && end.produced == end.consumed ->
      told = ring[r].produced; /* read once */
      judge_produced(end, told);
      told = 0
    :: else
    fi
  }
  if
  :: !end.broken && end.produced != end.consumed ->
    first = ring[r].front[end.consumed % SLOTS];
    second = ring[r].back[end.consumed % SLOTS];
    d_step {
      end.consumed = next(end.consumed);
      ring[r].consumed = end.consumed;
      ok = true
    }
  :: else
  fi
}

inline check_taken(first, second, ok) {
  atomic {
    if
    :: ok ->
      assert(first == second);
      assert(first == taken + 1);
      taken++
    :: else
    fi;
    first = 0;
    second = 0;
    ok = false
  }
}

active proctype Gmespd() {
  End end[2];
  byte told, first, second, sent;
  bool ok;
  do
#ifndef PRODUCES
  :: taken < RECORDS ->
    get(LIAR, end[LIAR], first, second, told, ok);
    d_step { first = 0; second = 0 }
    get(HONEST, end[HONEST], first, second, told, ok);
    check_taken(first, second, ok)
  :: taken == RECORDS -> break
#else
  :: sent < RECORDS ->
    put(LIAR, end[LIAR], 1, told, ok);
    put(HONEST, end[HONEST], sent + 1, told, ok);
    d_step { sent = sent + ok; ok = false }
  :: sent == RECORDS -> break
#endif
  od;
  assert(!end[HONEST].broken)
}

active proctype Peer() {
  End end;
  byte told, first, second, sent;
  bool ok;
  do
#ifndef PRODUCES
  :: sent < RECORDS ->
    put(HONEST, end, sent + 1, told, ok);
    d_step { sent = sent + ok; ok = false }
  :: sent == RECORDS -> break
#else
  :: taken < RECORDS ->
    get(HONEST, end, first, second, told, ok);
    check_taken(first, second, ok)
  :: taken == RECORDS -> break
#endif
  od;
  assert(!end.broken)
}

/* Any value, anywhere in its own memory, at any moment, and then no more. */
active proctype Liar() {
  byte lies, value;
  do
  :: lies < LIES ->
    atomic {
      lies++;
      select(value : 0 .. NUMBERS - 1);
      if
      :: ring[LIAR].produced = value
      :: ring[LIAR].consumed = value
      :: ring[LIAR].front[value % SLOTS] = value
      fi;
      value = 0
    }
  :: break
  od
}
