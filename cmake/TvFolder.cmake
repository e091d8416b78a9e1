# tv_link(TARGET LIBRARY...): link those of the project's libraries that exist so far.
function(tv_link target)
	foreach(library IN LISTS ARGN)
		if(TARGET ${library} OR NOT library MATCHES "^tv_")
			target_link_libraries(${target} PUBLIC ${library})
		endif()
	endforeach()
endfunction()

# tv_folder(NAME SOURCES <file>... LINK <target>...): the one static library of a folder. A folder
# without sources makes no target.
function(tv_folder name)
	cmake_parse_arguments(arg "" "" "SOURCES;LINK" ${ARGN})
	if(NOT arg_SOURCES)
		message(STATUS "${name}: no sources yet")
		return()
	endif()
	add_library(${name} STATIC ${arg_SOURCES})
	target_link_libraries(${name} PUBLIC tv_flags)
	tv_link(${name} ${arg_LINK})
endfunction()
