//! A multi-threaded program by the standard library alone. It checks itself, and prints `done` when
//! all was right.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, Once, OnceLock, RwLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// What shows a child that it is one: the program then only answers.
const ANSWER: &str = "answer";

fn main() {
    if let Some(ANSWER) = std::env::args().nth(1).as_deref() {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).unwrap();
        println!("{} {}", text.trim(), std::env::var("EXTRA").unwrap_or_default());
        std::process::exit(23);
    }
    let dir = std::env::temp_dir().join(format!("threads-{}", std::process::id()));
    fs::create_dir(&dir).unwrap();
    crowd();
    locks();
    conditions();
    channels();
    parking();
    once_and_local();
    files(&dir);
    sockets(&dir);
    processes();
    memory();
    panics();
    fs::remove_dir_all(&dir).unwrap();
    println!("done");
}

/// More threads compute at once than any other part of this program has.
fn crowd() {
    const CROWD: usize = 40;
    let here = AtomicUsize::new(0);
    thread::scope(|s| {
        for _ in 0..CROWD {
            s.spawn(|| {
                here.fetch_add(1, Ordering::SeqCst);
                while here.load(Ordering::SeqCst) < CROWD {
                    (0..10_000).for_each(|_| std::hint::spin_loop());
                    thread::yield_now();
                }
            });
        }
    });
}

fn locks() {
    let (sum, shared, plain) =
        (Arc::new(Mutex::new(0u64)), Arc::new(RwLock::new(BTreeMap::new())), Arc::new(AtomicU64::new(0)));
    thread::scope(|s| {
        for t in 0..8 {
            let (sum, shared, plain) = (sum.clone(), shared.clone(), plain.clone());
            s.spawn(move || {
                for i in 0..5000 {
                    *sum.lock().unwrap() += i;
                    plain.fetch_add(1, Ordering::Relaxed);
                    if i % 100 == 0 {
                        shared.write().unwrap().insert((t, i), i);
                    } else {
                        assert!(shared.read().unwrap().len() <= 8 * 50);
                    }
                }
            });
        }
    });
    assert_eq!(*sum.lock().unwrap(), 8 * (4999 * 5000 / 2));
    assert_eq!(plain.load(Ordering::Relaxed), 40000);
    assert_eq!(shared.read().unwrap().len(), 400);
}

fn conditions() {
    let turn = (Mutex::new(0usize), Condvar::new());
    let log = Mutex::new(Vec::new());
    let barrier = Barrier::new(5);
    let leaders = AtomicUsize::new(0);
    thread::scope(|s| {
        for me in 0..5 {
            let (turn, log, barrier, leaders) = (&turn, &log, &barrier, &leaders);
            s.spawn(move || {
                for _ in 0..100 {
                    let mut now = turn.1.wait_while(turn.0.lock().unwrap(), |now| *now % 5 != me).unwrap();
                    log.lock().unwrap().push(me);
                    *now += 1;
                    turn.1.notify_all();
                }
                for _ in 0..50 {
                    leaders.fetch_add(barrier.wait().is_leader().into(), Ordering::SeqCst);
                }
            });
        }
    });
    assert!(log.lock().unwrap().iter().enumerate().all(|(i, who)| i % 5 == *who));
    assert_eq!(leaders.load(Ordering::SeqCst), 50);
    let start = Instant::now();
    let (_guard, result) = turn.1.wait_timeout(turn.0.lock().unwrap(), Duration::from_millis(50)).unwrap();
    assert!(result.timed_out() && start.elapsed() >= Duration::from_millis(50));
}

fn channels() {
    let (send, receive) = mpsc::channel();
    let (bounded, back) = mpsc::sync_channel(2);
    let producers: Vec<_> = (0..4u64)
        .map(|t| {
            let (send, bounded) = (send.clone(), bounded.clone());
            thread::spawn(move || {
                for i in 0..1000 {
                    send.send(t * 1000 + i).unwrap();
                    if i % 10 == 0 {
                        bounded.send(i).unwrap();
                    }
                }
            })
        })
        .collect();
    drop((send, bounded));
    let slow = thread::spawn(move || back.iter().sum::<u64>());
    assert_eq!(receive.iter().sum::<u64>(), (0..4000).sum());
    assert_eq!(slow.join().unwrap(), 4 * (0..1000).step_by(10).sum::<u64>());
    producers.into_iter().for_each(|p| p.join().unwrap());
    let (_kept, empty) = mpsc::channel::<()>();
    assert_eq!(empty.recv_timeout(Duration::from_millis(20)), Err(mpsc::RecvTimeoutError::Timeout));
}

fn parking() {
    let hits = Arc::new(AtomicUsize::new(0));
    let mine = hits.clone();
    let sleeper = thread::spawn(move || {
        while mine.load(Ordering::SeqCst) < 100 {
            thread::park();
        }
    });
    for _ in 0..100 {
        hits.fetch_add(1, Ordering::SeqCst);
        sleeper.thread().unpark();
    }
    sleeper.join().unwrap();
    let start = Instant::now();
    thread::park_timeout(Duration::from_millis(10));
    thread::sleep(Duration::from_millis(20));
    thread::yield_now();
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert!(thread::available_parallelism().unwrap().get() >= 1);
}

fn once_and_local() {
    static ONCE: Once = Once::new();
    static VALUE: OnceLock<usize> = OnceLock::new();
    static RUNS: AtomicUsize = AtomicUsize::new(0);
    static DROPS: AtomicUsize = AtomicUsize::new(0);
    struct Counted(usize);
    impl Drop for Counted {
        fn drop(&mut self) {
            DROPS.fetch_add(self.0, Ordering::SeqCst);
        }
    }
    thread_local!(static LOCAL: Counted = const { Counted(1) });
    let threads: Vec<_> = (0..20)
        .map(|t| {
            thread::Builder::new().name(format!("t{t}")).stack_size(64 << 10).spawn(move || {
                ONCE.call_once(|| {
                    RUNS.fetch_add(1, Ordering::SeqCst);
                });
                LOCAL.with(|l| assert_eq!(l.0, 1));
                let name = fs::read_to_string("/proc/thread-self/comm").unwrap();
                assert_eq!(name.trim(), format!("t{t}"));
                *VALUE.get_or_init(|| t)
            })
        })
        .collect();
    let values: Vec<usize> = threads.into_iter().map(|t| t.unwrap().join().unwrap()).collect();
    assert!(values.iter().all(|v| *v == values[0]));
    assert_eq!((RUNS.load(Ordering::SeqCst), DROPS.load(Ordering::SeqCst)), (1, 20));
    // Deep recursion needs a large stack that is touched page by page.
    fn deep(n: u64) -> u64 {
        let here = std::hint::black_box([n; 64]);
        if n == 0 { 0 } else { here[(n % 64) as usize] + deep(n - 1) }
    }
    let recursion = thread::Builder::new().stack_size(64 << 20).spawn(|| deep(20000)).unwrap();
    assert_eq!(recursion.join().unwrap(), 20000 * 20001 / 2);
}

fn files(dir: &Path) {
    let path = dir.join("shared");
    let file = Arc::new(File::create_new(&path).unwrap());
    let writers: Vec<_> = (0..8u64)
        .map(|t| {
            let file = file.clone();
            thread::spawn(move || (0..200).for_each(|i| file.write_all_at(&[t as u8; 100], (i * 8 + t) * 100).unwrap()))
        })
        .collect();
    writers.into_iter().for_each(|w| w.join().unwrap());
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() == 160_000 && bytes.chunks(100).enumerate().all(|(i, c)| c == [(i % 8) as u8; 100]));
    let log = dir.join("log");
    thread::scope(|s| {
        for t in 0..4 {
            let mut log = OpenOptions::new().append(true).create(true).open(&log).unwrap();
            s.spawn(move || (0..100).for_each(|i| log.write_all(format!("thread {t} line {i}\n").as_bytes()).unwrap()));
        }
    });
    let lines: Vec<String> = BufReader::new(File::open(&log).unwrap()).lines().map(Result::unwrap).collect();
    assert!(lines.len() == 400 && lines.iter().all(|l| l.starts_with("thread ")));
    let mut file = OpenOptions::new().read(true).write(true).open(&log).unwrap();
    file.seek(SeekFrom::End(-5)).unwrap();
    file.set_len(10).unwrap();
    assert_eq!(file.read(&mut [0; 10]).unwrap(), 0);
    fs::set_permissions(&log, fs::Permissions::from_mode(0o400)).unwrap();
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode(), 0o100400);
    assert!(file.metadata().unwrap().modified().unwrap().elapsed().unwrap() < Duration::from_secs(100));
    fs::copy(&path, dir.join("copy")).unwrap();
    fs::hard_link(&path, dir.join("hard")).unwrap();
    fs::rename(dir.join("copy"), dir.join("renamed")).unwrap();
    assert_eq!(fs::read_dir(dir).unwrap().count(), 4);
    assert!(fs::canonicalize(dir.join("../").join(dir.file_name().unwrap())).is_ok());
}

fn sockets(dir: &Path) {
    let path = dir.join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let server = thread::spawn(move || {
        let serving: Vec<_> = (0..10)
            .map(|_| {
                let (stream, _) = listener.accept().unwrap();
                thread::spawn(move || {
                    let mut writer = stream.try_clone().unwrap();
                    for line in BufReader::new(stream).lines() {
                        writeln!(writer, "{}", line.unwrap().to_uppercase()).unwrap();
                    }
                })
            })
            .collect();
        serving.into_iter().for_each(|s| s.join().unwrap());
    });
    thread::scope(|s| {
        for t in 0..10 {
            let path = &path;
            s.spawn(move || {
                let mut stream = UnixStream::connect(path).unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                for i in 0..50 {
                    writeln!(stream, "client {t} line {i}").unwrap();
                    assert_eq!(lines.next().unwrap().unwrap(), format!("CLIENT {t} LINE {i}"));
                }
            });
        }
    });
    server.join().unwrap();
    let (mut here, there) = UnixStream::pair().unwrap();
    here.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
    assert_eq!(here.read(&mut [0; 1]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    drop(there);
    assert_eq!(here.read(&mut [0; 1]).unwrap(), 0);
    assert_eq!(here.write(&[0; 1]).unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

fn processes() {
    let me = std::env::current_exe().unwrap();
    thread::scope(|s| {
        for t in 0..6 {
            let me = &me;
            s.spawn(move || {
                for i in 0..5 {
                    let mut child = Command::new(me)
                        .arg(ANSWER)
                        .env("EXTRA", format!("{t}.{i}"))
                        .stdin(Stdio::piped())
                        .stdout(Stdio::piped())
                        .spawn()
                        .unwrap();
                    child.stdin.take().unwrap().write_all(b"question\n").unwrap();
                    let output = child.wait_with_output().unwrap();
                    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("question {t}.{i}\n"));
                    assert_eq!(output.status.code(), Some(23));
                }
            });
        }
    });
    assert_eq!(Command::new("/no/such/program").spawn().unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

fn memory() {
    let blocks: Vec<_> = (0..8u8)
        .map(|t| {
            thread::spawn(move || {
                let mut kept: Vec<Vec<u8>> = Vec::new();
                for i in 0..200usize {
                    kept.push(vec![t; 1 << (i % 18)]);
                    if i % 3 == 0 {
                        kept.swap_remove(i % kept.len());
                    }
                }
                kept.push(vec![t; 8 << 20]);
                kept
            })
        })
        .collect();
    for (t, block) in blocks.into_iter().enumerate() {
        assert!(block.join().unwrap().iter().flatten().all(|b| *b as usize == t));
    }
}

fn panics() {
    std::panic::set_hook(Box::new(|_| {}));
    let result = thread::spawn(|| panic!("on purpose {}", std::hint::black_box(1))).join();
    assert_eq!(result.unwrap_err().downcast_ref::<String>().unwrap(), "on purpose 1");
    let poisoned = Arc::new(Mutex::new(0));
    let mine = poisoned.clone();
    _ = thread::spawn(move || {
        let _guard = mine.lock().unwrap();
        panic!("while holding it");
    })
    .join();
    assert!(poisoned.is_poisoned());
    _ = std::panic::take_hook();
}
