package socktable

// ParseProcNet lets tests compare with the kernel's other list.
var ParseProcNet = parseProcNet
