/* SPDX-License-Identifier: BSD-3-Clause
 *
 * libgmesp: how a SIP server drives gmespd. One connection is one ring of commands and one of
 * answers and events in memory that both processes share; README.md tells the story with examples.
 *
 * Text: ended by a zero byte. Identities are visible ASCII, as NAIs and URIs are. Addresses are
 * "192.0.2.1" or "2001:db8::1". Security headers go in and come out as their values; several
 * headers of a name are joined by ", ". One that is blank or has no ipsec-3gpp in it agrees to
 * nothing, which is for gmespd to judge.
 *
 * Units are in the names: _s, _ms. A timeout_ms below 0 means for ever, 0 means not at all.
 *
 * Memory: what is given to a function is read before it returns and may go. What a report points to
 * belongs to the connection and stays until the next call on it.
 *
 * Errors: 0 is well. Below 0: GMESP_E..., of this library. Above 0: gmespd (or the library, before
 * it asked) has refused, and nothing has changed unless the call says so; the number is this
 * build's, what counts is gmesp_error_code(): the codes of control/README.md ("wrong_state", ...).
 *
 * Blocking: gmesp_submit_..., gmesp_poll, gmesp_fd and gmesp_close never block. Functions with a
 * timeout_ms do, that long at most.
 *
 * Threads: one connection belongs to one thread at a time; others may have their own.
 *
 * Fork: a connection is its process's. In a child every function answers GMESP_EFORKED; it may
 * gmesp_close(), which leaves the parent's connection alone, and must connect itself.
 *
 * Versions: a struct begins with its size: set it to sizeof. Later versions add functions, and
 * members at the end, and never change any; what a caller does not know is zero. A program that was
 * built with a newer gmesp.h than the library gets GMESP_EVERSION when it uses what the library
 * does not know. Unknown kinds of reports are to be passed over.
 */
#ifndef GMESP_H
#define GMESP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define GMESP_ABI_VERSION 1

typedef struct gmesp_client gmesp_client; /* one connection */

enum {
  GMESP_OK = 0,
  GMESP_ETIMEOUT = -1,      /* not in time; a command that was submitted still runs */
  GMESP_ERING_FULL = -2,    /* 256 commands unanswered: gmesp_poll() first, or gmespd is behind */
  GMESP_EDISCONNECTED = -3, /* gmespd has gone or has thrown us out: gmesp_reconnect() */
  GMESP_EFORKED = -4,
  GMESP_EARGUMENT = -5,   /* NULL where there must be something, a wrong size, too long */
  GMESP_EMEMORY = -6,     /* no memory, or no descriptor; here or, connecting, in gmespd */
  GMESP_ENO_ENGINE = -7,  /* nobody listens at this path */
  GMESP_EPERMISSION = -8, /* the socket is not for this user: be in its group */
  GMESP_EVERSION = -9,    /* gmespd, library and caller do not understand one another */
  GMESP_EPROTOCOL = -10,  /* gmespd violated the protocol */
  GMESP_ETOO_MANY = -11   /* gmespd has as many connections as it may: try again later */
};
/* "timeout", "ring_full", ..., or the refusal's code; "unknown" for other numbers. Never NULL. */
const char *gmesp_error_code(int error);
/* The sentence. */
const char *gmesp_error_text(int error);

/* What a report is. */
enum {
  GMESP_COMPLETION = 1,
  GMESP_EVENT_TEMPORARY_USED = 16, /* first packet on a temporary set */
  GMESP_EVENT_TAKEN_INTO_USE,      /* first packet after ok(): send over this set from now on */
  GMESP_EVENT_RETIRED,             /* the set is old: lives 64*T1 at most */
  GMESP_EVENT_AUTHENTICATION_TIMEOUT,
  GMESP_EVENT_EXPIRED,
  GMESP_EVENT_DELETED,
  GMESP_EVENT_SEQUENCE_SOFT_LIMIT, /* have the UE register again soon */
  GMESP_EVENT_SEQUENCE_EXHAUSTED,
  GMESP_EVENT_ICV_FAILURES,
  GMESP_EVENT_OVERFLOW = 64,   /* events were lost because nobody read: see gmesp_reconcile() */
  GMESP_EVENT_ENGINE_RESTARTED /* after gmesp_reconnect(): the sets of before are gone */
};
/* For gmesp_subscribe(); overflow and restart come to everyone. */
#define GMESP_EVENT_BIT(kind) (1u << ((kind)-GMESP_EVENT_TEMPORARY_USED))
#define GMESP_ALL_EVENTS 0xffffffffu

/* States of a set. */
enum { GMESP_OFFERED = 0, GMESP_TEMPORARY, GMESP_ESTABLISHED, GMESP_OLD };

struct gmesp_report {
  uint32_t size;
  uint32_t kind;
  uint64_t token;   /* completion: of the command */
  uint64_t handle;  /* of the set; 0: none */
  int32_t error;    /* completion: 0, a refusal, or GMESP_EDISCONNECTED */
  uint32_t state;   /* event: of the set, after it; check: of the set */
  int64_t when_ms;  /* event: on CLOCK_MONOTONIC */
  uint64_t count;   /* overflow: events lost (0: not known how many); reconcile: handles in missing;
                       finish_reconcile: sets given a deadline */
  uint32_t session; /* reconcile */
  uint32_t encrypted;      /* response, check: 1 when the set has a cipher */
  const char *code;        /* refusal: as gmespd has written it; else "" */
  const char *security;    /* register: the header to send (role pcscf: Security-Server, role ue:
                              Security-Client); else "" */
  const char *alg, *ealg;  /* of the set, when they are known; else "" */
  const uint64_t *missing; /* reconcile */
};

struct gmesp_options {
  uint32_t size;
  uint32_t abi_version; /* GMESP_ABI_VERSION */
  const char *path;     /* of the control socket; NULL: /run/gmesp/gmespd.sock */
  uint32_t events;      /* GMESP_EVENT_BIT()s, or GMESP_ALL_EVENTS */
  int32_t timeout_ms;
};
int gmesp_connect(const struct gmesp_options *options, gmesp_client **connection);
/* NULL is well. What was submitted is done; sets live on until their deadlines. */
void gmesp_close(gmesp_client *connection);
/* The same options, after GMESP_EDISCONNECTED (or any time). Commands without an answer are
 * reported as completions with that error: whether they were done is not known. Then, when another
 * gmespd is there, GMESP_EVENT_ENGINE_RESTARTED, else GMESP_EVENT_OVERFLOW: after either,
 * gmesp_reconcile(). Tokens go on. */
int gmesp_reconnect(gmesp_client *connection, int timeout_ms);

/* For poll and epoll, POLLIN only: readable when gmesp_poll() has something, after it has answered
 * 0 once. Read nothing from it. gmesp_reconnect() changes it. */
int gmesp_fd(const gmesp_client *connection);
/* 1: *report is filled; 0: nothing now; below 0: error. Never blocks. */
int gmesp_poll(gmesp_client *connection, struct gmesp_report *report);
/* The same, waiting; GMESP_ETIMEOUT when nothing came. */
int gmesp_wait(gmesp_client *connection, int timeout_ms, struct gmesp_report *report);

/* ---- Commands. Each comes in two forms. gmesp_submit_X() puts it into the ring, says its token,
 * and its completion comes through gmesp_poll(). gmesp_X() waits for the completion and answers its
 * error; what arrives meanwhile is kept for gmesp_poll() (no more than 4096 events: then an
 * overflow is reported). After GMESP_ETIMEOUT the completion comes through gmesp_poll() too. report
 * and token may be NULL. ---- */

enum { GMESP_AS_CONFIGURED = 0, GMESP_STRICT, GMESP_PORTS_OF_SET };

/* SM1: a REGISTER has come (role ue: is about to be sent). Completion: handle, security, and role
 * pcscf alg and ealg. */
struct gmesp_register_call {
  uint32_t size;
  uint32_t selector;
  const char *ue; /* address */
  const char *pcscf;
  const char *contact;      /* address of the Contact header, or NULL: not checked */
  const char *impi;         /* 1 to 255 bytes, as the impus */
  const char *const *impus; /* at most 8 */
  uint32_t impu_count;
  uint32_t reserved;           /* 0 */
  uint64_t over;               /* the set that protected the REGISTER; 0: it came in clear */
  const char *security_client; /* role pcscf; NULL: role ue */
  const char *security_verify; /* with over, when there; else NULL */
};
int gmesp_submit_register(gmesp_client *, const struct gmesp_register_call *, uint64_t *token);
int gmesp_register(gmesp_client *, const struct gmesp_register_call *, int timeout_ms,
                   struct gmesp_report *);

/* SM5/SM6: CK and IK, 16 bytes each, which the library does not keep. The completion comes when
 * every SA of the set is usable: the 401 may leave. CK and IK serve one set, which is checked for
 * as long as gmespd runs: those of before its restart must not be given again, with AES-GCM and
 * AES-GMAC they would make the same nonces (RFC 4106 3). security_server: role ue, of the 401; a
 * refusal unacceptable_proposal has ended the set (INT-66). */
int gmesp_submit_challenge(gmesp_client *, uint64_t handle, const uint8_t *ck, const uint8_t *ik,
                           const char *security_server, uint64_t *token);
int gmesp_challenge(gmesp_client *, uint64_t handle, const uint8_t *ck, const uint8_t *ik,
                    const char *security_server, int timeout_ms, struct gmesp_report *);

/* SM7: the headers of the protected REGISTER; either may be NULL: it was not there, which is a
 * mismatch. Completion: encrypted. A refusal verify_mismatch or client_mismatch has ended the set
 * (INT-67). */
int gmesp_submit_response(gmesp_client *, uint64_t handle, const char *security_verify,
                          const char *security_client, uint64_t *token);
int gmesp_response(gmesp_client *, uint64_t handle, const char *security_verify,
                   const char *security_client, int timeout_ms, struct gmesp_report *);

/* SM12: call it before the 200 OK leaves. expires_s: of the 200 OK; 0: a deregistration. impus: the
 * identities of its P-Associated-URI, at most 8; none: those of the REGISTER stay. */
int gmesp_submit_ok(gmesp_client *, uint64_t handle, uint32_t expires_s, const char *const *impus,
                    uint32_t impu_count, uint64_t *token);
int gmesp_ok(gmesp_client *, uint64_t handle, uint32_t expires_s, const char *const *impus,
             uint32_t impu_count, int timeout_ms, struct gmesp_report *);

enum {
  GMESP_FAIL_USER_AUTHENTICATION = 0,
  GMESP_FAIL_NETWORK_AUTHENTICATION,
  GMESP_FAIL_SYNCHRONISATION,
  GMESP_FAIL_UNACCEPTABLE,
  GMESP_FAIL_TIMEOUT,
  GMESP_FAIL_OTHER
};
int gmesp_submit_fail(gmesp_client *, uint64_t handle, uint32_t reason, uint64_t *token);
int gmesp_fail(gmesp_client *, uint64_t handle, uint32_t reason, int timeout_ms,
               struct gmesp_report *);

/* A 200 OK without a challenge, to a REGISTER over this set. */
int gmesp_submit_refresh(gmesp_client *, uint64_t handle, uint32_t expires_s, uint64_t *token);
int gmesp_refresh(gmesp_client *, uint64_t handle, uint32_t expires_s, int timeout_ms,
                  struct gmesp_report *);

/* Deregistration of all sets of the set's IMPI, which live on for 64*T1. */
enum { GMESP_ONLY_THIS_SET = 1, GMESP_AT_ONCE = 2 };
int gmesp_submit_delete(gmesp_client *, uint64_t handle, uint32_t flags, uint64_t *token);
int gmesp_delete(gmesp_client *, uint64_t handle, uint32_t flags, int timeout_ms,
                 struct gmesp_report *);

/* Which registration a request came through, by its source and our socket, and whether the IMPI,
 * IMPU and Contact are its. Completion: handle, state, alg, ealg and encrypted of the set.
 * Look at the state: only REGISTER may come over a temporary set, whose user is not authenticated
 * yet; answer any other request over one with 403. */
struct gmesp_check_call {
  uint32_t size;
  uint16_t ue_port;
  uint16_t pcscf_port; /* 0: any */
  const char *ue;
  const char *impi;    /* or NULL: not checked */
  const char *impu;    /* or NULL: not checked */
  const char *contact; /* address, or NULL: not checked */
};
int gmesp_submit_check(gmesp_client *, const struct gmesp_check_call *, uint64_t *token);
int gmesp_check(gmesp_client *, const struct gmesp_check_call *, int timeout_ms,
                struct gmesp_report *);

/* Which kinds of events come from now on. */
int gmesp_submit_subscribe(gmesp_client *, uint32_t events, uint64_t *token);
int gmesp_subscribe(gmesp_client *, uint32_t events, int timeout_ms, struct gmesp_report *);

/* The sets that the caller believes in, at most GMESP_MAX_HANDLES in one call, in as many calls as
 * it takes; session 0 begins, the completion says which session it is. missing: those that are not
 * there. finish_reconcile gives all others that were there a deadline of grace_ms: also those of
 * other connections, so that one process has to name the sets of all its siblings. It completes
 * when all sets have been looked at: stale_session, when another reconciliation began meanwhile. */
#define GMESP_MAX_HANDLES 64
int gmesp_submit_reconcile(gmesp_client *, uint32_t session, const uint64_t *handles,
                           uint32_t count, uint64_t *token);
int gmesp_reconcile(gmesp_client *, uint32_t session, const uint64_t *handles, uint32_t count,
                    int timeout_ms, struct gmesp_report *);
int gmesp_submit_finish_reconcile(gmesp_client *, uint32_t session, uint32_t grace_ms,
                                  uint64_t *token);
int gmesp_finish_reconcile(gmesp_client *, uint32_t session, uint32_t grace_ms, int timeout_ms,
                           struct gmesp_report *);

#ifdef __cplusplus
}
#endif

#endif
