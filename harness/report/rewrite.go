package report

import (
	"reflect"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/terminal"
)

// rewritten returns a deep copy of a report, or of a part of one, in which every string went through
// edit and every slice and map that was nil is empty. Walking the types keeps
// a field that is added later from being forgotten.
func rewritten[T any](r *T, edit func(string) string) *T {
	return rewrite(reflect.ValueOf(r), edit).Interface().(*T)
}

func rewrite(v reflect.Value, edit func(string) string) reflect.Value {
	t := v.Type()
	switch v.Kind() {
	case reflect.String:
		return reflect.ValueOf(edit(v.String())).Convert(t)
	case reflect.Slice:
		out := reflect.MakeSlice(t, v.Len(), v.Len())
		for i := range v.Len() {
			out.Index(i).Set(rewrite(v.Index(i), edit))
		}
		return out
	case reflect.Map:
		out := reflect.MakeMapWithSize(t, v.Len())
		for key, value := range v.Seq2() {
			out.SetMapIndex(rewrite(key, edit), rewrite(value, edit))
		}
		return out
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		out := reflect.New(t.Elem())
		out.Elem().Set(rewrite(v.Elem(), edit))
		return out
	case reflect.Struct:
		out := reflect.New(t).Elem()
		out.Set(v)
		if t == reflect.TypeFor[time.Time]() {
			return out
		}
		for i := range t.NumField() {
			if t.Field(i).IsExported() {
				out.Field(i).Set(rewrite(v.Field(i), edit))
			}
		}
		return out
	}
	return v
}

// HarmlessCopy returns a copy of a report whose strings can be shown to a
// person. Host names, process names and what a peer sent come from the machine
// and may hold anything: terminal escapes, characters that XML forbids, and
// marks that turn the direction of text so that it reads as something else.
func HarmlessCopy[T any](r *T) *T { return rewritten(r, terminal.Harmless) }

// oneLine keeps a string that has to stay on its line on it.
func oneLine(s string) string { return strings.ReplaceAll(s, "\n", `\n`) }
