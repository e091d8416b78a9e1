# Flags that every target of the project gets, on the interface target tv_flags.

if(NOT CMAKE_BUILD_TYPE)
	set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "" FORCE)
endif()
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g" CACHE STRING "" FORCE)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

add_library(tv_flags INTERFACE)
target_include_directories(tv_flags INTERFACE ${CMAKE_SOURCE_DIR})
target_compile_definitions(tv_flags INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64
	TVFS_VERSION="${PROJECT_VERSION}")
target_compile_options(tv_flags INTERFACE
	-Wall -Wextra -Wshadow -Wvla -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wundef
	-Wwrite-strings)

if(TVFS_WERROR)
	target_compile_options(tv_flags INTERFACE -Werror)
endif()
if(NOT TVFS_HARDEN)
	target_compile_options(tv_flags INTERFACE -fno-omit-frame-pointer)
endif()
# Some distributions' compilers fortify by default, and warn more when they do: here all do.
if(NOT TVFS_SANITIZE AND NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
	target_compile_options(tv_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
if(TVFS_HARDEN)
	target_compile_options(tv_flags INTERFACE -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=)
	target_compile_options(tv_flags INTERFACE -fstack-protector-strong -fstack-clash-protection)
	target_link_options(tv_flags INTERFACE -Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()
if(TVFS_SANITIZE)
	target_compile_options(tv_flags INTERFACE -fsanitize=${TVFS_SANITIZE}
		-fno-sanitize-recover=all -fno-omit-frame-pointer)
	target_link_options(tv_flags INTERFACE -fsanitize=${TVFS_SANITIZE})
endif()
if(TVFS_FUZZ)
	target_compile_options(tv_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(TVFS_SINGLE_THREAD)
	target_compile_definitions(tv_flags INTERFACE TV_SINGLE_THREAD=1)
endif()
