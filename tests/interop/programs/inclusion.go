// Judges an entry's proof with the code that Go checks its own module log with.
//
//	inclusion ENTRY PROOF VERIFIER-KEY
//
// ENTRY and PROOF are files of an officer's bundle (poa.entry, poa.tlog-proof); the key is the log's, from the reader's
// own policy. It prints "ok", the index and the size of the tree.
package main

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func main() {
	entry, err := os.ReadFile(os.Args[1])
	must(err)
	proof, err := os.ReadFile(os.Args[2])
	must(err)
	verifier, err := note.NewVerifier(os.Args[3])
	must(err)
	head, signed, _ := strings.Cut(string(proof), "\n\n")
	lines := strings.Split(head, "\n")
	hold(lines[0] == "c2sp.org/tlog-proof@v1", "not a tlog-proof")
	hold(strings.HasPrefix(lines[1], "index "), "no index")
	index := number(strings.TrimPrefix(lines[1], "index "))
	var hashes tlog.RecordProof
	for _, line := range lines[2:] {
		hashes = append(hashes, hash(line))
	}
	opened, err := note.Open([]byte(signed), note.VerifierList(verifier))
	must(err)
	text := strings.Split(opened.Text, "\n")
	size := number(text[1])
	must(tlog.CheckRecord(hashes, size, hash(text[2]), index, tlog.RecordHash(entry)))
	fmt.Println("ok", index, size)
}
