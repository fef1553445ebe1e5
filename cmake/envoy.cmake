# pd_envoy: the Envoy v3 API in C, from the descriptors that PyPI xds-protos carries.
# It lives outside of the preset's folder, so that all presets share one build of it.
set(PD_VENV ${PROJECT_SOURCE_DIR}/.venv CACHE PATH "Python environment with xds-protos (scripts/install.sh)")
set(PD_XDS_DESCRIPTORS "" CACHE FILEPATH "A FileDescriptorSet to take the Envoy API from instead")
set(PD_XDS_PROTOS "" CACHE PATH "A directory of *_pb2.py or .proto files to take the Envoy API from instead")
set(PD_ENVOY_API_DIR ${PROJECT_SOURCE_DIR}/build/envoy-api CACHE PATH
	"Where the Envoy API is built; choose another one together with another source")

if(PD_XDS_DESCRIPTORS)
	set(source ${PD_XDS_DESCRIPTORS})
	set(source_depends ${PD_XDS_DESCRIPTORS})
elseif(PD_XDS_PROTOS)
	set(source ${PD_XDS_PROTOS})
	set(source_depends)
else()
	file(GLOB source ${PD_VENV}/lib/python3*/site-packages)
	if(NOT EXISTS "${source}/envoy/service/discovery/v3")
		message(FATAL_ERROR "No xds-protos in ${PD_VENV}: run scripts/install.sh, "
			"or set PD_XDS_DESCRIPTORS or PD_XDS_PROTOS")
	endif()
	set(source_depends ${source}/envoy/service/discovery/v3/ads_pb2.py)
endif()

set(PD_ENVOY_DESC ${PD_ENVOY_API_DIR}/envoy.desc)
set(PD_ENVOY_INCLUDE ${PD_ENVOY_API_DIR}/include)
file(MAKE_DIRECTORY ${PD_ENVOY_INCLUDE})
add_custom_command(
	OUTPUT ${PD_ENVOY_API_DIR}/libpd_envoy.a ${PD_ENVOY_DESC}
	COMMAND ${PROJECT_SOURCE_DIR}/scripts/envoy_api.sh ${source} ${PD_ENVOY_API_DIR}
	DEPENDS
		${source_depends}
		${PROJECT_SOURCE_DIR}/scripts/envoy_api.sh
		${PROJECT_SOURCE_DIR}/scripts/envoy_descriptors.py
		${PROJECT_SOURCE_DIR}/cmake/envoy-api/CMakeLists.txt
	COMMENT "Envoy API"
	VERBATIM)
add_custom_target(pd_envoy_build DEPENDS ${PD_ENVOY_API_DIR}/libpd_envoy.a ${PD_ENVOY_DESC})

add_library(pd_envoy STATIC IMPORTED)
set_target_properties(pd_envoy PROPERTIES
	IMPORTED_LOCATION ${PD_ENVOY_API_DIR}/libpd_envoy.a
	INTERFACE_INCLUDE_DIRECTORIES ${PD_ENVOY_INCLUDE})
target_link_libraries(pd_envoy INTERFACE PkgConfig::libprotobuf-c)
add_dependencies(pd_envoy pd_envoy_build)
