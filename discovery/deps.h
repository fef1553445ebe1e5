// Who depends on what: tokens (config/store.h) ↔ units of computation.
//
// The engine records, for each unit, the tokens that its last computation asked for, and asks for the units that a set of
// changed tokens makes stale. Computations run on any thread while changes are applied on another: `record` says whether one
// of the tokens changed after the snapshot that the computation had read; then its result is stale already.
//
// Not thread-safe: the engine's lock guards it.
#ifndef DISCOVERY_DEPS_H
#define DISCOVERY_DEPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/vec.h"
#include "config/store.h"

// Embedded in whatever is computed. All-zero is a unit that depends on nothing.
struct pd_unit {
	uint32_t n_tokens;
	pd_token *
		tokens; // sorted, distinct; behind them where each token's list has this unit. Owned here, kept by pd_deps_*
};

struct pd_deps;
struct pd_deps *pd_deps_new(void);
void pd_deps_free(struct pd_deps **);

// Adds `tokens` (any order, duplicates allowed) to what `unit` depends on. `generation` is that of the snapshot read.
// True: one of the tokens changed in a later generation, so the result is stale.
bool pd_deps_record(struct pd_deps *, struct pd_unit *unit, const pd_token *tokens, size_t n, uint64_t generation);
// Forgets all tokens of the unit (before it is computed anew, or destroyed).
void pd_deps_clear(struct pd_deps *, struct pd_unit *unit);
// Notes that `tokens` changed in `generation` and calls fn once for each unit that depends on one of them. fn may clear the
// unit it is given, but no other.
void pd_deps_changed(struct pd_deps *, const pd_token *tokens, size_t n, uint64_t generation,
		     void (*fn)(struct pd_unit *unit, void *arg), void *arg);
// Drops what is remembered of changes up to `generation`: no computation reads a snapshot older than that any more.
void pd_deps_forget(struct pd_deps *, uint64_t generation);
// Tokens with units plus changes that are remembered, for metrics and leak tests.
size_t pd_deps_count(const struct pd_deps *);

#endif
