# pd_registry: the generated table of all message descriptors, ours and Envoy's, behind pb_find (api/pb.h).
# Linking it pulls all of the Envoy API into a binary (6 MB): whatever decodes an Any needs that.
find_package(Python3 REQUIRED COMPONENTS Interpreter)
set(registry ${CMAKE_BINARY_DIR}/registry/pb_table.c)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/registry)
add_custom_command(
	OUTPUT ${registry}
	COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/scripts/pb_registry.py
		${registry} ${PD_ENVOY_INCLUDE} ${proto_sources}
	DEPENDS ${proto_sources} ${PD_ENVOY_DESC} ${PROJECT_SOURCE_DIR}/scripts/pb_registry.py
	COMMENT "Type registry"
	VERBATIM)
add_library(pd_registry STATIC ${registry})
target_link_libraries(pd_registry PUBLIC pd_proto)
