// Judges a static copy of a register with the code that Go checks its own module log with.
//
//	register DIRECTORY VERIFIER-KEY OLD-SIZE OLD-ROOT INDEX [HASH...]
//
// It proves the checkpoint's signature, every entry against the root, that the old tree is a beginning of this one, and
// that the hashes are the inclusion proof of the entry at INDEX. It prints "ok" and the number of entries.
package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type folder string

func (f folder) file(path string) []byte {
	data, err := os.ReadFile(filepath.Join(string(f), path))
	must(err)
	return data
}

func (f folder) Height() int { return 8 }

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles { // Go names the height in the path, tlog-tiles does not
		found = append(found, f.file("tile/"+strings.TrimPrefix(tile.Path(), "tile/8/")))
	}
	return found, nil
}

func (f folder) entries(size int64) (all [][]byte) {
	for first := int64(0); first < size; first += 256 {
		width := size - first
		if width > 256 {
			width = 256
		}
		tile := tlog.Tile{H: 8, L: 0, N: first / 256, W: int(width)}
		bundle := f.file("tile/entries/" + strings.TrimPrefix(tile.Path(), "tile/8/0/"))
		for len(bundle) > 0 {
			end := 2 + int(binary.BigEndian.Uint16(bundle))
			all, bundle = append(all, bundle[2:end]), bundle[end:]
		}
	}
	return all
}

func main() {
	from := folder(os.Args[1])
	verifier, err := note.NewVerifier(os.Args[2])
	must(err)
	signed, err := note.Open(from.file("checkpoint"), note.VerifierList(verifier))
	must(err)
	lines := strings.Split(signed.Text, "\n")
	size, root := number(lines[1]), hash(lines[2])
	reader := tlog.TileHashReader(tlog.Tree{N: size, Hash: root}, from)

	entries := from.entries(size)
	hold(int64(len(entries)) == size, "another number of entries")
	for first := 0; first < len(entries); first += 256 {
		var places []int64
		for index := first; index < first+256 && index < len(entries); index++ {
			places = append(places, tlog.StoredHashIndex(0, int64(index)))
		}
		stored, err := reader.ReadHashes(places)
		must(err)
		for at, each := range stored {
			hold(each == tlog.RecordHash(entries[first+at]), fmt.Sprintf("entry %d is not in the tree", first+at))
		}
	}

	old := number(os.Args[3])
	tree, err := tlog.ProveTree(size, old, reader)
	must(err)
	must(tlog.CheckTree(tree, size, root, old, hash(os.Args[4])))

	index := number(os.Args[5])
	var given tlog.RecordProof
	for _, each := range os.Args[6:] {
		given = append(given, hash(each))
	}
	must(tlog.CheckRecord(given, size, root, index, tlog.RecordHash(entries[index])))
	made, err := tlog.ProveRecord(size, index, reader)
	must(err)
	hold(fmt.Sprint(made) == fmt.Sprint(given), "another inclusion proof")
	fmt.Println("ok", size)
}
