// Inside of config/object.c and config/object_build.c.
#ifndef CONFIG_OBJECT_IMPL_H
#define CONFIG_OBJECT_IMPL_H

#include "config/object.h"

// Bytes of a packed object; a larger one stays a message: pb_unpack refuses what becomes too large in memory.
#define PD_OBJECT_PACKED_MAX (1u << 20)

bool pd_object_kept_packed(enum pd_kind kind);
void pd_object_release(struct pd_obj *);

#endif
