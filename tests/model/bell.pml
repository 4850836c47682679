/* SPDX-License-Identifier: BSD-3-Clause
 * Who sleeps is woken: the flag `asleep` in the shared memory and the bell on the socket
 * (control/client/link.cc publish() and ready_to_wait(); control/ring_server.cc ready_to_wait()
 * and awake(), control/served_ring.cc ring_bell()). One producer of records, one consumer that
 * sleeps when it finds none.
 * Stores wait in a buffer of their CPU, as on x86 and as C++ allows, until a fence: a load may pass
 * them, which is how wake-ups are lost. Claimed, with every interleaving tried:
 *  - the consumer gets every record that was published and never sleeps on with one before it: the
 *    periodic look of gmespd is not needed for that;
 *  - a producer that dies at any step wakes it too (the socket hangs up), and what it had published
 *    is taken;
 *  - a bell that finds no room in the socket is not missed; nobody waits for room.
 * -DCLIENT_SLEEPS: the consumer is libgmesp, which empties the socket before it goes to sleep;
 * otherwise gmespd, which does so after it woke, and lowers its flag then.
 * It rests on one thing outside of us: a store before send() is seen before its bell is. The kernel's
 * lock of the socket sees to that (-DSEND_OVERTAKES: without it, a flag lowered late could undo the
 * consumer's next raising of it, with no bell behind).
 * -DNO_FENCE, -DLOOKS_FIRST, -DSEND_OVERTAKES: mistakes that must be found out (tests/model/run).
 */
#define RECORDS 3
#define WAKINGS 2 /* for other reasons: a tick, a neighbour's bell, a timeout */
#define ROOM 1 /* bells that the socket takes */

byte published; /* RingIndices::produced */
bool asleep;
bool hung_up;
chan socket = [ROOM] of {bit};

/* Store buffers: which variable, its value. */
mtype = {of_published, of_asleep};
chan producers_stores = [3] of {mtype, byte};
chan consumers_stores = [3] of {mtype, byte};

proctype Cpu(chan stores) {
  mtype what;
  byte value;
end:
  do
  :: atomic {
      stores ? what, value;
      if
      :: what == of_published -> published = value
      :: what == of_asleep -> asleep = (value != 0)
      fi;
      value = 0
    }
  od
}

inline fence(stores) {
#ifndef NO_FENCE
  empty(stores)
#else
  skip
#endif
}

proctype Producer() {
  byte made;
  bool seen;
  do
  :: made < RECORDS ->
    made++;
    producers_stores ! of_published, made;
    if
    :: true
    :: goto dies
    fi;
    fence(producers_stores);
    seen = asleep;
    if
    :: seen ->
      producers_stores ! of_asleep, 0;
      if
      :: true
      :: goto dies
      fi;
#ifndef SEND_OVERTAKES
      empty(producers_stores);
#endif
      if
      :: nfull(socket) -> socket ! 0
      :: full(socket) /* bells enough */
      fi
    :: else
    fi
  :: made == RECORDS -> break
  od;
  goto lives_on; /* and says no more: nothing but its bells wakes the consumer */
dies:
  /* The kernel sees to it: a dead process's stores are done, then its socket is closed. */
  empty(producers_stores) -> hung_up = true;
lives_on:
  skip
}

inline empty_socket() {
  do
  :: nempty(socket) -> socket ? _
  :: empty(socket) -> break
  od
}

proctype Consumer() {
  byte taken;
  byte wakings;
  do
  :: taken == RECORDS -> break
  :: taken < published -> taken++ /* get() */
  :: taken == published && taken < RECORDS ->
    /* Nothing seen: ready_to_wait(). */
#ifdef CLIENT_SLEEPS
    empty_socket();
#endif
#ifdef LOOKS_FIRST
    if
    :: taken < published -> goto awake
    :: else
    fi;
    consumers_stores ! of_asleep, 1;
    fence(consumers_stores);
#else
    consumers_stores ! of_asleep, 1;
    fence(consumers_stores);
    if
    :: taken < published -> goto awake
    :: else
    fi;
#endif
    /* Asleep until there is a bell or nobody there. */
    if
    :: nempty(socket)
    :: wakings < WAKINGS -> wakings++
    :: hung_up ->
      if
      :: taken == published -> break
      :: else
      fi
    fi;
awake:
#ifndef CLIENT_SLEEPS
    empty_socket();
    consumers_stores ! of_asleep, 0
#else
    skip
#endif
  od;
  assert(taken == published)
}

init {
  atomic {
    run Cpu(producers_stores);
    run Cpu(consumers_stores);
    run Producer();
    run Consumer()
  }
}
