package counters

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// threadClock is the processor time of the calling thread, up to this moment.
func threadClock(t *testing.T) time.Duration {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}

// notCounted says whether the kernel lacks a source, and demands that the
// error says so.
func notCounted(t *testing.T, err error, file string) bool {
	t.Helper()
	if err == nil {
		return false
	}
	NewWithT(t).Expect(err).To(And(
		Or(MatchError(fs.ErrNotExist), MatchError(errors.ErrUnsupported)),
		MatchError(ContainSubstring(file)),
	))
	return true
}

func TestThreadCountsWhatItRuns(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g := NewWithT(t)
	before, err := ReadThread()
	if notCounted(t, err, threadSchedstat) {
		t.Skipf("this kernel does not count scheduling: %v", err)
	}
	// Counting may lag by a tick of the timer interrupt, at most 10 ms.
	const spin, lag = 50 * time.Millisecond, 10 * time.Millisecond
	began := threadClock(t)
	for threadClock(t) < began+spin {
	}
	// A thread that waits for its turn begins a new timeslice.
	g.Expect(unix.Nanosleep(&unix.Timespec{Nsec: 1}, nil)).To(Succeed())
	now, err := ReadThread()
	g.Expect(err).NotTo(HaveOccurred())
	after := threadClock(t)

	g.Expect(now.Running).To(BeNumerically("<=", after), "of a clock of the same thread")
	g.Expect(now.Running).To(BeNumerically(">", began+spin-lag))
	moved := now.Sub(before)
	g.Expect(moved.Running).To(BeNumerically(">", 0))
	g.Expect(moved.Timeslices).To(BeNumerically(">", 0))

	threads, err := ReadThreads()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(threads).To(HaveKey(os.Getpid()))
	g.Expect(threads).To(HaveKeyWithValue(unix.Gettid(), HaveField("Running", BeNumerically(">=", now.Running))))
}

func TestThreadCountsItsWait(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	g := NewWithT(t)
	before, err := ReadThread()
	if notCounted(t, err, threadSchedstat) {
		t.Skipf("this kernel does not count scheduling: %v", err)
	}
	// Two threads on one processor: whenever one runs, the other waits.
	var here unix.CPUSet
	g.Expect(unix.SchedGetaffinity(0, &here)).To(Succeed())
	defer func() { g.Expect(unix.SchedSetaffinity(0, &here)).To(Succeed()) }()
	var one unix.CPUSet
	for cpu := range 1024 {
		if here.IsSet(cpu) {
			one.Set(cpu)
			break
		}
	}
	g.Expect(unix.SchedSetaffinity(0, &one)).To(Succeed())
	stop, rival := make(chan struct{}), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the pinned thread ends with the goroutine
		err := unix.SchedSetaffinity(0, &one)
		for err == nil {
			select {
			case <-stop:
				rival <- nil
				return
			default:
			}
		}
		rival <- err
	}()
	waited := func() time.Duration {
		now, err := ReadThread()
		g.Expect(err).NotTo(HaveOccurred())
		return now.Sub(before).Waiting
	}
	for began := time.Now(); waited() == 0 && time.Since(began) < patience; {
	}
	close(stop)
	g.Expect(<-rival).To(Succeed())
	g.Expect(waited()).To(BeNumerically(">", 0))
}

// A reading is not spoilt by threads that end meanwhile.
func TestThreadsMayEnd(t *testing.T) {
	g := NewWithT(t)
	if _, err := ReadThreads(); notCounted(t, err, "/proc/") {
		t.Skipf("this kernel does not count scheduling: %v", err)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
			}()
			<-ended
		}
	}()
	for range 200 {
		threads, err := ReadThreads()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(threads).To(HaveKey(os.Getpid()))
	}
	close(stop)
	<-done
}

func TestMissingFileIsNamed(t *testing.T) {
	_, err := ReadPressure("patience")
	g := NewWithT(t)
	g.Expect(err).To(MatchError(fs.ErrNotExist))
	g.Expect(err).To(MatchError(HavePrefix("reading patience pressure: open /proc/pressure/patience: ")))
}

func TestPerCPUAddsUp(t *testing.T) {
	g := NewWithT(t)
	before, err := ReadPerCPU()
	g.Expect(err).NotTo(HaveOccurred())
	sum, err := ReadStat()
	g.Expect(err).NotTo(HaveOccurred())
	after, err := ReadPerCPU()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(before).To(HaveLen(len(after)))
	user := func(p PerCPU) (total time.Duration) {
		for _, spent := range p {
			total += spent.User
		}
		return total
	}
	// The sum is rounded once, the processors' each, and an offline one is in
	// the sum alone.
	g.Expect(time.Duration(sum.User) * Tick).To(BeNumerically(">=", user(before)))
	if len(before) == presentProcessors(t) {
		g.Expect(time.Duration(sum.User) * Tick).To(BeNumerically("<=", user(after)+time.Duration(len(after))*Tick))
	}
}

// presentProcessors is how many processors the machine has, online or not.
func presentProcessors(t *testing.T) int {
	t.Helper()
	entries, err := fs.Glob(os.DirFS("/sys/devices/system/cpu"), "cpu[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func TestRunQueuesOfThisMachine(t *testing.T) {
	g := NewWithT(t)
	before, err := ReadRunQueues()
	if notCounted(t, err, "/proc/schedstat") {
		t.Skipf("this kernel does not count run queues: %v", err)
	}
	var after RunQueues
	turns := func() (turns uint64) {
		after, err = ReadRunQueues()
		g.Expect(err).NotTo(HaveOccurred())
		for _, queue := range after.Sub(before) {
			turns += queue.Timeslices
		}
		return turns
	}
	g.Eventually(turns).WithTimeout(patience).Should(BeNumerically(">", 0))
}

func TestPressureOfThisMachine(t *testing.T) {
	for _, of := range []Resource{CPUs, Memory, IO, IRQs} {
		t.Run(string(of), func(t *testing.T) {
			g := NewWithT(t)
			p, err := ReadPressure(of)
			if notCounted(t, err, "/proc/pressure/"+string(of)) {
				t.Skipf("this kernel has no such pressure stall information: %v", err)
			}
			if of == IRQs {
				g.Expect(p.Some).To(BeZero())
				return
			}
			g.Expect(p.Some).To(BeNumerically(">=", p.Full), "some waited whenever all did")
			later, err := ReadPressure(of)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(later.Some).To(BeNumerically(">=", p.Some))
		})
	}
}

func TestAllOfThisMachine(t *testing.T) {
	alone(t)
	g := NewWithT(t)
	before := ReadAll()
	for _, p := range before.parts() {
		if err := p.part.failed(); err != nil {
			notCounted(t, err, "/proc/")
		}
	}
	g.Expect(before.Protocols.Err).NotTo(HaveOccurred())
	g.Expect(before.Sockets.Err).NotTo(HaveOccurred())
	g.Expect(before.Interfaces.Err).NotTo(HaveOccurred())
	g.Expect(before.Softnet.Err).NotTo(HaveOccurred())
	g.Expect(before.Stat.Err).NotTo(HaveOccurred())
	g.Expect(before.PerCPU.Err).NotTo(HaveOccurred())

	sendOver(t, 3)
	moved := ReadAll().Sub(before)
	g.Expect(moved.Elapsed).To(BeNumerically(">", 0))
	g.Expect(moved.Protocols.Value.Get("Udp", "InDatagrams")).To(BeNumerically("==", 3))
	g.Expect(moved.String()).To(And(
		ContainSubstring("Udp InDatagrams 3"),
		ContainSubstring("interfaces: lo (rx_bytes 384, rx_packets 3, tx_bytes 384, tx_packets 3)"),
		MatchRegexp(`packets received: .*processed \d+`),
		Not(ContainSubstring("DefaultTTL")),
	))
}
