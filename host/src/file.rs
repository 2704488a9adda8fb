//! Host files, for the file systems that show the host's tree.
