#include "config/labels.h"

#include <string.h>

const char *pd_labels_get(const struct pd_labels *l, const char *key)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = strcmp(l->v[mid].key, key);

		if (!c)
			return l->v[mid].value;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

bool pd_labels_match(const struct pd_labels *selector, const struct pd_labels *labels)
{
	for (size_t i = 0, k = 0; i < selector->n; i++, k++) {
		while (k < labels->n && strcmp(labels->v[k].key, selector->v[i].key) < 0)
			k++;
		if (k == labels->n || strcmp(labels->v[k].key, selector->v[i].key) ||
		    strcmp(labels->v[k].value, selector->v[i].value))
			return false;
	}
	return true;
}
