// A token: refused with a reason. None of these can be right, since nobody has the private keys, and the signature of the one
// seed that is does not fit anything else.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "ca/jwt.h"

// The public key of RFC 7515 appendix A.3.
static const char key_set[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\","
			      "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
			      "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";
static const char signed_by_it[] =
	"eyJhbGciOiJFUzI1NiJ9"
	".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
static struct pd_jwks *keys;

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	struct pd_buf why = {0};
	(void)argc, (void)argv;

	PD_ASSERT(pd_jwks_parse(key_set, strlen(key_set), &keys, &why) == PD_OK);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const audiences[] = {"istio-ca"};
	const struct pd_jwt_rules rules = {"joe", audiences, 1, 1300000000};
	struct pd_buf why = {0};
	struct pd_jwt t;

	if (pd_jwt_parse((const char *)data, size, &t, &why) == PD_JWT_OK) {
		if (pd_jwt_verify(&t, keys, &why) == PD_JWT_OK)
			PD_ASSERT(t.input_len == strlen(signed_by_it) &&
				  memcmp(t.input, signed_by_it, t.input_len) == 0);
		else
			PD_ASSERT(why.n > 0);
		if (pd_jwt_check(&t, &rules, &why) == PD_JWT_OK)
			PD_ASSERT(pd_jwt_expiry(&t) > 0);
		pd_jwt_free(&t);
	} else {
		PD_ASSERT(why.n > 0);
	}
	pd_buf_free(&why);
	return 0;
}
