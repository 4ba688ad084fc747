package iface

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Lengths of include/uapi/linux/ethtool.h, in bytes.
const (
	featureHeader = 2 * 4       // ethtool_gfeatures
	featureBlock  = 4 * 4       // ethtool_get_features_block
	stringsHeader = 3 * 4       // ethtool_gstrings
	stringBytes   = 32          // ETH_GSTRING_LEN
	setInfoBytes  = 2*4 + 8 + 4 // ethtool_sset_info with one count
)

// featureStrings is ETH_SS_FEATURES, the set of the features' names.
const featureStrings = 4

// Features returns the offloads of an interface by the kernel's names, such as
// "tx-checksum-ip-generic" (net/ethtool/common.c, netdev_features_strings). It
// takes no privilege (SIOCETHTOOL, netdevice(7)).
func Features(name string) (map[string]Feature, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("ask for the features of %s: open a socket: %w", name, err)
	}
	defer unix.Close(fd)
	features, err := features(fd, name)
	if err != nil {
		return nil, fmt.Errorf("ask for the features of %s: %w", name, err)
	}
	return features, nil
}

func features(fd int, name string) (map[string]Feature, error) {
	info := make([]byte, setInfoBytes)
	binary.NativeEndian.PutUint32(info, unix.ETHTOOL_GSSET_INFO)
	binary.NativeEndian.PutUint64(info[8:], 1<<featureStrings)
	if err := ethtool(fd, name, info); err != nil {
		return nil, fmt.Errorf("ETHTOOL_GSSET_INFO: %w", err)
	}
	count := int(binary.NativeEndian.Uint32(info[16:]))
	const most = 1 << 12 // the kernel has less than 100
	if count > most {
		return nil, fmt.Errorf("ETHTOOL_GSSET_INFO: %d features", count)
	}

	names := make([]byte, stringsHeader+count*stringBytes)
	binary.NativeEndian.PutUint32(names, unix.ETHTOOL_GSTRINGS)
	binary.NativeEndian.PutUint32(names[4:], featureStrings)
	binary.NativeEndian.PutUint32(names[8:], uint32(count))
	if err := ethtool(fd, name, names); err != nil {
		return nil, fmt.Errorf("ETHTOOL_GSTRINGS: %w", err)
	}

	blocks := (count + 31) / 32
	bits := make([]byte, featureHeader+blocks*featureBlock)
	binary.NativeEndian.PutUint32(bits, unix.ETHTOOL_GFEATURES)
	binary.NativeEndian.PutUint32(bits[4:], uint32(blocks))
	if err := ethtool(fd, name, bits); err != nil {
		return nil, fmt.Errorf("ETHTOOL_GFEATURES: %w", err)
	}

	features := make(map[string]Feature, count)
	for i := range count {
		field := names[stringsHeader+i*stringBytes:][:stringBytes]
		block := bits[featureHeader+i/32*featureBlock:]
		has := func(word int) bool {
			return binary.NativeEndian.Uint32(block[4*word:])>>(i%32)&1 == 1
		}
		const available, active, neverChanged = 0, 2, 3
		if name := featureName(field); name != "" {
			features[name] = Feature{On: has(active), Fixed: has(neverChanged) || !has(available)}
		}
	}
	return features, nil
}

// ethtool makes one request, whose answer takes its place.
func ethtool(fd int, name string, request []byte) error {
	var ifreq struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [24 - unsafe.Sizeof(uintptr(0))]byte
	}
	copy(ifreq.name[:unix.IFNAMSIZ-1], name)
	ifreq.data = unsafe.Pointer(&request[0])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&ifreq)))
	runtime.KeepAlive(request)
	if errno != 0 {
		return errno
	}
	return nil
}
