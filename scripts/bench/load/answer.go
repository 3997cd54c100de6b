//go:build linux

package main

import (
	"bytes"
	"errors"
	"strconv"
)

// answer is one HTTP/1.1 response as far as a load generator cares.
type answer struct {
	status int
	body   []byte // with the framing of chunks, when there are any
	closes bool   // the server hangs up after it
}

var errNoHTTP = errors.New("the server does not answer with HTTP/1.1")

var (
	endOfHead   = []byte("\r\n\r\n")
	endOfChunks = []byte("\r\n0\r\n\r\n")
)

// readAnswer reads the response b begins with; whole is false while its end has not come. It trusts
// the server to send nothing behind it, as it was asked one thing at a time.
func readAnswer(b []byte) (a answer, whole bool, err error) {
	head, body, ok := bytes.Cut(b, endOfHead)
	if !ok {
		return a, false, nil
	}
	line, rest, _ := bytes.Cut(head, []byte("\r\n"))
	if len(line) < 12 || string(line[:9]) != "HTTP/1.1 " {
		return a, false, errNoHTTP
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, false, errNoHTTP
	}
	length, chunked := -1, false
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(": "))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil || length < 0 {
				return a, false, errNoHTTP
			}
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		case bytes.EqualFold(name, []byte("Connection")):
			a.closes = bytes.EqualFold(value, []byte("close"))
		}
	}
	a.body = body
	if chunked {
		// JSON has no line breaks of its own: the last chunk is the only one that looks like this.
		return a, bytes.HasSuffix(body, endOfChunks), nil
	}
	return a, length >= 0 && len(body) >= length, nil
}
