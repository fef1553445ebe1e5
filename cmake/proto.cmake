# pd_proto: our own messages (api/proto) in C, and their descriptor set pilotd.desc.
# They may import the Envoy API and Google's well-known types, whose C is in pd_envoy.
set(proto_dir ${PROJECT_SOURCE_DIR}/api/proto)
set(proto_out ${CMAKE_BINARY_DIR}/proto)
set(proto_stage ${CMAKE_BINARY_DIR}/proto.stage)
file(MAKE_DIRECTORY ${proto_out} ${proto_stage})
file(GLOB_RECURSE protos CONFIGURE_DEPENDS RELATIVE ${proto_dir} ${proto_dir}/*.proto)

if(NOT protos)
	add_library(pd_proto INTERFACE)
	target_link_libraries(pd_proto INTERFACE pd_envoy)
	return()
endif()

set(proto_sources ${protos})
list(TRANSFORM proto_sources REPLACE "\\.proto$" ".pb-c.c")
list(TRANSFORM proto_sources PREPEND ${proto_out}/)
set(proto_headers ${proto_sources})
list(TRANSFORM proto_headers REPLACE "\\.c$" ".h")
set(proto_paths ${protos})
list(TRANSFORM proto_paths PREPEND ${proto_dir}/)

# protoc knows no depfile together with a descriptor set, so any change generates all (0.2 s) into a staging
# folder; only what differs is copied, and only that is compiled again.
# The set has, beside ours, the one import that its users (who have xds-protos) lack: protobuf-c's options.
add_custom_command(
	OUTPUT ${proto_sources} ${proto_headers} ${CMAKE_BINARY_DIR}/pilotd.desc
	COMMAND ${PD_PROTOC} -I ${proto_dir} -I ${PD_PROTOBUF_C_INCLUDE} --descriptor_set_in=${PD_ENVOY_DESC}
		--plugin=protoc-gen-c=${PD_PROTOC_C} --c_out=${proto_stage} ${proto_paths}
	COMMAND ${PD_PROTOC} -I ${proto_dir} -I ${PD_PROTOBUF_C_INCLUDE} --descriptor_set_in=${PD_ENVOY_DESC}
		-o ${CMAKE_BINARY_DIR}/pilotd.desc
		${PD_PROTOBUF_C_INCLUDE}/protobuf-c/protobuf-c.proto ${proto_paths}
	COMMAND ${CMAKE_COMMAND} -D FROM=${proto_stage} -D TO=${proto_out}
		-P ${PROJECT_SOURCE_DIR}/cmake/copy_changed.cmake
	DEPENDS ${proto_paths} ${PD_ENVOY_DESC} ${PROJECT_SOURCE_DIR}/cmake/copy_changed.cmake
	COMMENT "protoc-c api/proto"
	VERBATIM)

add_library(pd_proto STATIC ${proto_sources})
target_compile_options(pd_proto PRIVATE -Os -w)
target_include_directories(pd_proto SYSTEM PUBLIC ${proto_out})
target_link_libraries(pd_proto PUBLIC pd_envoy)
add_custom_target(pd_descriptors ALL DEPENDS ${CMAKE_BINARY_DIR}/pilotd.desc)
