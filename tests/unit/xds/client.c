// The wire tests use the client of the suites.
#include "tests/xds/client.c"
