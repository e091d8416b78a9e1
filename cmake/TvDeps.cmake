# Libraries the project stands on. libfuse is the private static build that ./dev makes where the
# system's is older than 3.17; a private build is taken from its files, never through pkg-config,
# so that the two cannot be mixed up.

include(CheckCSourceCompiles)
find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
pkg_check_modules(CJSON REQUIRED IMPORTED_TARGET libcjson)
pkg_check_modules(XXHASH REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(LMDB REQUIRED IMPORTED_TARGET lmdb)
pkg_check_modules(CRYPTO REQUIRED IMPORTED_TARGET libcrypto)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl)
if(BUILD_TESTING)
	pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
endif()

# Of libcrypto only SHA-256 is used, but loading the shared library costs more than all the rest of a
# short command. A distribution that wants the shared one builds with TVFS_STATIC_CRYPTO=OFF.
add_library(tv_crypto INTERFACE)
find_library(CRYPTO_ARCHIVE libcrypto.a HINTS ${CRYPTO_LIBRARY_DIRS} ${CRYPTO_LIBDIR})
if(TVFS_STATIC_CRYPTO AND CRYPTO_ARCHIVE)
	# It must link by itself, and into a shared library, too.
	set(CMAKE_REQUIRED_INCLUDES ${CRYPTO_INCLUDE_DIRS})
	set(CMAKE_REQUIRED_FLAGS -fPIC)
	set(CMAKE_REQUIRED_LINK_OPTIONS -shared -Wl,--no-undefined)
	set(CMAKE_REQUIRED_LIBRARIES ${CRYPTO_ARCHIVE} Threads::Threads ${CMAKE_DL_LIBS})
	check_c_source_compiles("
		#include <openssl/evp.h>
		int digest(unsigned char *out);
		int digest(unsigned char *out)
		{
			return EVP_Q_digest(NULL, \"SHA256\", NULL, \"\", 0, out, NULL);
		}
		int main(void) { return 0; }" CRYPTO_ARCHIVE_LINKS)
	unset(CMAKE_REQUIRED_INCLUDES)
	unset(CMAKE_REQUIRED_FLAGS)
	unset(CMAKE_REQUIRED_LINK_OPTIONS)
	unset(CMAKE_REQUIRED_LIBRARIES)
endif()
if(CRYPTO_ARCHIVE_LINKS)
	target_include_directories(tv_crypto SYSTEM INTERFACE ${CRYPTO_INCLUDE_DIRS})
	target_link_libraries(tv_crypto INTERFACE ${CRYPTO_ARCHIVE} Threads::Threads ${CMAKE_DL_LIBS})
	message(STATUS "libcrypto ${CRYPTO_VERSION} (static)")
else()
	target_link_libraries(tv_crypto INTERFACE PkgConfig::CRYPTO)
	message(STATUS "libcrypto ${CRYPTO_VERSION} (shared)")
endif()

add_library(tv_libfuse INTERFACE)
set(private_fuse ${TVFS_LIBFUSE_PREFIX}/lib/libfuse3.a)
if(TVFS_LIBFUSE STREQUAL "auto" AND EXISTS ${private_fuse})
	file(STRINGS ${TVFS_LIBFUSE_PREFIX}/lib/pkgconfig/fuse3.pc version REGEX "^Version:")
	string(REGEX REPLACE "^Version: *" "" TVFS_LIBFUSE_VERSION "${version}")
	target_include_directories(tv_libfuse SYSTEM INTERFACE ${TVFS_LIBFUSE_PREFIX}/include/fuse3)
	target_link_libraries(tv_libfuse INTERFACE ${private_fuse} Threads::Threads ${CMAKE_DL_LIBS})
	set(where "private, static")
else()
	pkg_check_modules(FUSE3 REQUIRED IMPORTED_TARGET fuse3)
	set(TVFS_LIBFUSE_VERSION ${FUSE3_VERSION})
	target_link_libraries(tv_libfuse INTERFACE PkgConfig::FUSE3 Threads::Threads)
	set(where "the system's")
endif()

set(passthrough 0)
if(TVFS_PASSTHROUGH AND TVFS_LIBFUSE_VERSION VERSION_GREATER_EQUAL 3.17)
	set(passthrough 1)
endif()
target_compile_definitions(tv_flags INTERFACE TV_HAVE_FUSE_PASSTHROUGH=${passthrough})
message(STATUS "libfuse ${TVFS_LIBFUSE_VERSION} (${where}), passthrough: ${passthrough}")

# DuckDB, for ingest/ alone: given by hand, the system's, or what ./dev fetched. Only the program that
# links tv_ingest loads it.
set(TVFS_DUCKDB_INCLUDE "" CACHE PATH "Folder of duckdb.h")
set(TVFS_DUCKDB_LIBRARY "" CACHE FILEPATH "libduckdb.so")
set(include "${TVFS_DUCKDB_INCLUDE}")
set(library "${TVFS_DUCKDB_LIBRARY}")
set(private_duckdb ${TVFS_DUCKDB_PREFIX}/lib/libduckdb.so)
set(TVFS_DUCKDB_PRIVATE OFF)
if(NOT include OR NOT library)
	pkg_check_modules(DUCKDB QUIET duckdb)
	find_path(DUCKDB_HEADER_FOLDER duckdb.h HINTS ${DUCKDB_INCLUDE_DIRS})
	find_library(DUCKDB_SHARED duckdb HINTS ${DUCKDB_LIBRARY_DIRS} ${DUCKDB_LIBDIR})
	if(DUCKDB_HEADER_FOLDER AND DUCKDB_SHARED)
		set(include ${DUCKDB_HEADER_FOLDER})
		set(library ${DUCKDB_SHARED})
	elseif(EXISTS ${private_duckdb})
		set(include ${TVFS_DUCKDB_PREFIX}/include)
		set(library ${private_duckdb})
		set(TVFS_DUCKDB_PRIVATE ON)
	endif()
endif()
if(include AND library)
	add_library(tv_duckdb INTERFACE)
	target_include_directories(tv_duckdb SYSTEM INTERFACE ${include})
	target_link_libraries(tv_duckdb INTERFACE ${library})
	message(STATUS "DuckDB: ${library}")
else()
	message(STATUS "DuckDB not found: ingest/ is not built")
endif()
