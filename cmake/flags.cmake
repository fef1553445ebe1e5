# Flags of our own code. Generated code gets its own (proto.cmake, envoy-api/).
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)

separate_arguments(PD_OPT_LIST UNIX_COMMAND "${PD_OPT}")

# For all C of this build, generated or not.
add_compile_definitions(_GNU_SOURCE)
add_compile_options(-g -fno-omit-frame-pointer -ffunction-sections -fdata-sections)
add_link_options(-Wl,--gc-sections -Wl,--as-needed)

# For ours alone.
add_library(pd_flags INTERFACE)
target_include_directories(pd_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(pd_flags INTERFACE ${PD_OPT_LIST}
	-Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Werror
	-Wno-deprecated-declarations) # Envoy fields that istiod sends, deprecated or not, are part of what we promise
if(PD_SANITIZE)
	set(sanitize -fsanitize=${PD_SANITIZE})
	target_compile_options(pd_flags INTERFACE ${sanitize} -fno-sanitize-recover=all)
	target_link_options(pd_flags INTERFACE ${sanitize})
else()
	target_compile_options(pd_flags INTERFACE -fstack-protector-strong -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
	target_link_options(pd_flags INTERFACE -Wl,-z,relro,-z,now)
endif()
if(PD_FUZZ)
	if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang")
		message(FATAL_ERROR "PD_FUZZ needs clang: libFuzzer is part of it")
	endif()
	target_compile_options(pd_flags INTERFACE -fsanitize=fuzzer-no-link)
	target_link_options(pd_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
