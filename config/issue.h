// Mistakes in users' objects: values that are collected and reported (log, /debug/configz, later status), never failures of ours.
// One bad object never keeps another from being applied, and the last good version of the bad one stays in force.
#ifndef CONFIG_ISSUE_H
#define CONFIG_ISSUE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum pd_issue_severity { PD_ISSUE_WARNING, PD_ISSUE_ERROR };

struct pd_issue {
	enum pd_issue_severity severity;
	const char *origin; // "dir/file.yaml:12" or "k8s"; never NULL
	const char *object; // "VirtualService default/reviews"; "" when the document could not be read that far
	const char *field;  // "spec.http[0].route[1].weight"; "" for the object as a whole
	const char *reason; // one sentence without a final dot; never NULL
	int64_t generation; // 0 = unknown
};

#define PD_ISSUES_MAX 10000 // kept; further ones are counted only

// A thread-safe, bounded collection keyed by origin: replacing an origin's issues drops its earlier ones.
struct pd_issues;
struct pd_issues *pd_issues_new(void);
void pd_issues_free(struct pd_issues **);
// Copies the issue and logs it, unless the same is in force already: translators find it again with each computation.
void pd_issues_add(struct pd_issues *, const struct pd_issue *);
// Drops all issues whose origin file (text before the last ':') is `file`.
void pd_issues_clear(struct pd_issues *, const char *file);
// Drops the issues with exactly this origin, object and field: one that was settled by something outside its file.
void pd_issues_drop(struct pd_issues *, const char *origin, const char *object, const char *field);
// Calls fn for each kept issue, those of one file in the order in which they were added. Holds the lock: fn must not call back.
void pd_issues_each(struct pd_issues *, void (*fn)(const struct pd_issue *, void *), void *arg);
// Issues in force, with those beyond PD_ISSUES_MAX.
size_t pd_issues_count(struct pd_issues *);

#endif
