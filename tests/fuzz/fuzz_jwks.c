// Text of a key set: refused with a reason, or keys that can be used.
#include <openssl/err.h>
#include <stdint.h>
#include <stdlib.h>

#include "ca/jwks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct pd_buf why = {0};
	struct pd_jwks *keys = NULL;

	if (pd_jwks_parse((const char *)data, size, &keys, &why) == PD_OK) {
		PD_ASSERT(keys->keys.n > 0 && keys->keys.n + keys->skipped <= PD_JWKS_KEYS_MAX);
		for (size_t i = 0; i < keys->keys.n; i++)
			PD_ASSERT(keys->keys.v[i].type != PD_KEY_OTHER && EVP_PKEY_get_bits(keys->keys.v[i].key) > 0);
		pd_jwks_unref(keys);
	} else {
		PD_ASSERT(why.n > 0 && !keys);
	}
	PD_ASSERT(ERR_peek_error() == 0); // nothing is left for the next user of this thread
	pd_buf_free(&why);
	return 0;
}
