// What the judges of a log share: reading what they are told, and ending at the first thing that does not hold.
package main

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"
)

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	must(err)
	return value
}

func hash(text string) (found tlog.Hash) {
	data, err := base64.StdEncoding.DecodeString(text)
	must(err)
	hold(len(data) == tlog.HashSize, "not a hash")
	copy(found[:], data)
	return found
}

func hold(holds bool, otherwise string) {
	if !holds {
		must(fmt.Errorf("%s", otherwise))
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
