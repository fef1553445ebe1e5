# System libraries, all from Debian packages (scripts/install.sh).
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)

add_library(pd_deps INTERFACE)
# grpc's .pc file lists 80 libraries for static linking; the C API needs these two.
target_link_libraries(pd_deps INTERFACE grpc gpr Threads::Threads m)
foreach(module libprotobuf-c libmicrohttpd gnutls openssl yaml-0.1 jansson libcurl libxxhash)
	pkg_check_modules(${module} REQUIRED IMPORTED_TARGET ${module})
	target_link_libraries(pd_deps INTERFACE PkgConfig::${module})
endforeach()

find_program(PD_PROTOC protoc REQUIRED)
find_program(PD_PROTOC_C protoc-gen-c REQUIRED)
find_path(PD_PROTOBUF_C_INCLUDE protobuf-c/protobuf-c.proto REQUIRED)
