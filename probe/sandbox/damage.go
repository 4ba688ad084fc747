package sandbox

import (
	"slices"
	"sync"
)

// damage is what spoils the sandboxes of this process.
var damage struct {
	sync.Mutex
	commands []string
}

// Damage spoils every sandbox that this process starts until undo is called:
// the shell commands run in each of its zones, in order, once the zone stands
// and before the first call. A command that fails makes Start fail.
//
// It is for tests. A check that asks inside a sandbox is out of reach of
// damage to the machine's own stack, so that this is how it is seen to fail.
func Damage(commands ...string) (undo func()) {
	damage.Lock()
	defer damage.Unlock()
	before := damage.commands
	damage.commands = slices.Concat(before, commands)
	return func() {
		damage.Lock()
		defer damage.Unlock()
		damage.commands = before
	}
}

func damageCommands() []string {
	damage.Lock()
	defer damage.Unlock()
	return slices.Clone(damage.commands)
}
