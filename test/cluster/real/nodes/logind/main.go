// Stands in for systemd-logind, and for the D-Bus system bus on which a kubelet looks for it: enough for the kubelet's graceful node shutdown.
// "logind SOCKET FILE" serves on SOCKET, lets the kubelet take its inhibitor lock, and says "the machine is about to shut down"
// (PrepareForShutdown) when FILE appears. It writes what happens to its standard output, a line each: "listening", "inhibited", "shutting down",
// "released" (the kubelet is done with the node's Pods).
// Source: D-Bus specification (message format, EXTERNAL authentication); org.freedesktop.login1(5); kubelet 1.36, pkg/kubelet/nodeshutdown.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// A machine where an administrator has allowed more than any kubelet asks for: its InhibitDelayMaxSec.
	inhibitDelayMaxMicros = uint64(600 * 1_000_000)
	poll                  = 20 * time.Millisecond
	path                  = "/org/freedesktop/login1"
	manager               = "org.freedesktop.login1.Manager"
)

var (
	mutex sync.Mutex
	// Whoever is connected hears signals; buses filter them, which one kubelet does not need.
	peers = map[*peer]bool{}
)

func main() {
	if len(os.Args) != 3 {
		fail("usage: logind SOCKET FILE")
	}
	check(os.MkdirAll(filepath.Dir(os.Args[1]), 0o755))
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: os.Args[1], Net: "unix"})
	check(err)
	fmt.Println("listening")
	go shutDownWith(os.Args[2])
	for {
		connection, err := listener.AcceptUnix()
		check(err)
		one := &peer{connection: connection}
		go func() {
			if err := one.serve(); err != nil && err != io.EOF {
				fmt.Println("peer:", err)
			}
			mutex.Lock()
			delete(peers, one)
			mutex.Unlock()
			_ = connection.Close()
		}()
	}
}

func shutDownWith(file string) {
	for {
		if _, err := os.Stat(file); err == nil {
			break
		}
		time.Sleep(poll)
	}
	fmt.Println("shutting down")
	mutex.Lock()
	defer mutex.Unlock()
	for one := range peers {
		body := (&writer{}).u32(1) // a boolean
		one.send(message{kind: signalKind, path: path, iface: manager, member: "PrepareForShutdown", signature: "b", body: body.bytes}, nil)
	}
}

type peer struct {
	connection *net.UnixConn
	writing    sync.Mutex
	serial     uint32
}

func (p *peer) serve() error {
	in := bufio.NewReader(p.connection)
	if err := p.authenticate(in); err != nil {
		return err
	}
	mutex.Lock()
	peers[p] = true
	mutex.Unlock()
	for {
		call, err := readMessage(in)
		if err != nil {
			return err
		}
		if call.kind == callKind {
			p.answer(call)
		}
	}
}

// Everybody is let in: the socket's folder decides who reaches it.
func (p *peer) authenticate(in *bufio.Reader) error {
	if _, err := in.ReadByte(); err != nil { // where credentials would come with
		return err
	}
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		answer := "ERROR"
		switch words := strings.Fields(line); {
		case len(words) == 0:
		case words[0] == "BEGIN":
			return nil
		case words[0] == "NEGOTIATE_UNIX_FD":
			answer = "AGREE_UNIX_FD"
		case words[0] == "AUTH" && len(words) > 1 && words[1] == "EXTERNAL", words[0] == "DATA":
			answer = "OK 0123456789abcdef0123456789abcdef"
		case words[0] == "AUTH":
			answer = "REJECTED EXTERNAL"
		}
		if _, err := p.connection.Write([]byte(answer + "\r\n")); err != nil {
			return err
		}
	}
}

func (p *peer) answer(call message) {
	reply := message{kind: returnKind, replyTo: call.serial}
	switch call.member {
	case "Hello":
		reply.signature, reply.body = "s", (&writer{}).text(":1.1").bytes
	case "AddMatch", "RemoveMatch":
	case "Get": // of org.freedesktop.DBus.Properties; the kubelet reads one, InhibitDelayMaxUSec
		reply.signature, reply.body = "v", (&writer{}).signature("t").u64(inhibitDelayMaxMicros).bytes
	case "Inhibit":
		p.inhibit(reply)
		return
	default:
		reply.kind, reply.errorName = errorKind, "org.freedesktop.DBus.Error.UnknownMethod"
		fmt.Println("unknown:", call.iface, call.member)
	}
	p.send(reply, nil)
}

// The lock is the other end of a pipe: it is released when that is closed.
func (p *peer) inhibit(reply message) {
	ours, theirs, err := os.Pipe()
	check(err)
	reply.signature, reply.body, reply.files = "h", (&writer{}).u32(0).bytes, 1
	p.send(reply, syscall.UnixRights(int(theirs.Fd())))
	check(theirs.Close())
	fmt.Println("inhibited")
	go func() {
		_, _ = io.Copy(io.Discard, ours)
		fmt.Println("released")
	}()
}

func (p *peer) send(one message, rights []byte) {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.serial++
	one.serial = p.serial
	if _, _, err := p.connection.WriteMsgUnix(one.encode(), rights, nil); err != nil {
		fmt.Println("write:", err)
	}
}

func check(err error) {
	if err != nil {
		fail("%v", err)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}
