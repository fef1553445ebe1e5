# cmake -D FROM=… -D TO=… -P copy_changed.cmake: copy the files below FROM that differ from those below TO.
file(GLOB_RECURSE files RELATIVE ${FROM} ${FROM}/*)
foreach(file ${files})
	get_filename_component(folder ${TO}/${file} DIRECTORY)
	file(MAKE_DIRECTORY ${folder})
	file(COPY_FILE ${FROM}/${file} ${TO}/${file} ONLY_IF_DIFFERENT)
endforeach()
