#include "discovery/policy/selector.h"

#include "base/str.h"

bool pd_selector_matches(const Istio__WorkloadSelector *s, const struct pd_labels *labels)
{
	for (size_t i = 0; s && i < s->n_match_labels; i++) {
		const char *value = pd_labels_get(labels, s->match_labels[i]->key);
		if (!value || !pd_streq(value, s->match_labels[i]->value))
			return false;
	}
	return true;
}
