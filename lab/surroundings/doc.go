// Package surroundings runs tests again as another kind of user: what loopcheck
// can do depends on who runs it, and has to be right for each.
package surroundings
