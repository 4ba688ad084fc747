package containers

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

func TestOnlyWhatAMissingModuleGivesIsLacking(t *testing.T) {
	for text, want := range map[string]string{
		"Error: Could not process rule: No such file or directory":                         addressTranslation.Name,
		"Error: Could not process rule: Operation not supported":                           addressTranslation.Name,
		"Failed to initialize nft: Protocol not supported":                                 addressTranslation.Name,
		"Warning: Extension MASQUERADE revision 0 not supported, missing kernel module?":   addressTranslation.Name,
		"line 7: RULE_APPEND failed (No such file or directory): rule in chain PREROUTING": addressTranslation.Name,
		"Error: syntax error, unexpected string":                                           "",
		"Error: Could not process rule: Invalid argument":                                  "",
		"Error: Could not process rule: Device or resource busy":                           "",
	} {
		var seen outcome
		err := seen.lacking(&ruleset.FileError{Program: "nft", Message: text})
		if seen.Lacks != want || (err == nil) != (want != "") {
			t.Errorf("%q: lacks %q, %v", text, seen.Lacks, err)
		}
	}
	var seen outcome
	if err := seen.lacking(&ruleset.MissingProgramError{Program: "nft"}); err != nil || seen.Lacks != ruleProgram.Name {
		t.Errorf("lacks %q, %v", seen.Lacks, err)
	}
}
