# What `cmake --install` adds to the programs and the library: man pages and tvfs.pc.

# Relative, so that `cmake --install --prefix` and moved trees are right.
file(RELATIVE_PATH TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_SOURCE_DIR}/cmake/tvfs.pc.in ${CMAKE_BINARY_DIR}/tvfs.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/tvfs.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# docs/commands/<page>.md becomes <page>.1
file(GLOB pages CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/docs/commands/tvfs*.md)
find_program(LOWDOWN lowdown)
if(pages AND NOT LOWDOWN)
	message(STATUS "lowdown not found: no man pages are built")
elseif(pages)
	set(maker ${CMAKE_SOURCE_DIR}/docs/make-man.sh)
	set(man_pages "")
	foreach(page IN LISTS pages)
		get_filename_component(name ${page} NAME_WE)
		set(out ${CMAKE_BINARY_DIR}/man/${name}.1)
		add_custom_command(OUTPUT ${out}
			COMMAND ${CMAKE_COMMAND} -E env LOWDOWN=${LOWDOWN}
			        sh ${maker} ${page} ${out} ${PROJECT_VERSION}
			DEPENDS ${page} ${maker} VERBATIM)
		list(APPEND man_pages ${out})
	endforeach()
	add_custom_target(man ALL DEPENDS ${man_pages})
	install(FILES ${man_pages} DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
endif()
