// The unit tests use the same fake as the wire tests.
#include "tests/xds/fake_engine.c"
