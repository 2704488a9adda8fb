#!/usr/bin/perl
# Perl close to the system: files, directories, processes, signals, pipes, sockets, locks, select and alarms.
use strict;
use warnings;
use Errno qw(ENOENT EEXIST ENOTDIR EAGAIN ECHILD);
use Fcntl qw(:DEFAULT :flock :seek :mode);
use File::Copy qw(copy move);
use File::Find;
use File::Temp qw(tempdir);
use IO::Handle;
use IO::Select;
use IO::Socket::UNIX;
use IPC::Open3;
use POSIX qw(:sys_wait_h :signal_h strftime);
use Socket;
use Time::HiRes qw(sleep time usleep setitimer ITIMER_REAL);

$| = 1;
my $dir = tempdir(CLEANUP => 1);
chdir $dir or die "chdir: $!";

print "== files\n";
open(my $out, '>', 'file') or die $!;
print $out "line $_\n" for 1 .. 1000;
close $out;
print -s 'file', "\n";
open(my $in, '<', 'file') or die $!;
my @lines = <$in>;
print scalar(@lines), " $lines[499]";
seek $in, -9, SEEK_END;
print <$in>;
close $in;
sysopen(my $rw, 'file', O_RDWR | O_APPEND) or die $!;
syswrite $rw, "appended\n";
sysseek $rw, -9, SEEK_END;
sysread $rw, my $buffer, 100;
print $buffer;
print sysopen(my $x, 'file', O_WRONLY | O_CREAT | O_EXCL) ? "made\n" : "exists: " . ($! == EEXIST) . "\n";
print open($x, '<', 'nothing') ? "there\n" : "absent: " . ($! == ENOENT) . " $!\n";
print open($x, '<', 'file/below') ? "there\n" : "no directory: " . ($! == ENOTDIR) . "\n";
truncate 'file', 7;
print -s 'file', "\n";
copy 'file', 'copied' and move 'copied', 'moved' and print -e 'moved' && !-e 'copied' ? "moved\n" : "not moved\n";
chmod 0600, 'file';
printf "%o\n", (stat 'file')[2];
utime 1000, 2000, 'file';
print join(' ', (stat 'file')[8, 9]), "\n";
link 'file', 'hard' and symlink 'file', 'soft' and print readlink('soft'), ' ', (stat 'file')[3], ' ', S_ISLNK((lstat 'soft')[2]) ? 1 : 0, "\n";
rename 'hard', 'soft' and print -l 'soft' ? "a link\n" : "a file\n";
mkdir 'd', 0755 and mkdir 'd/e' and print "directories\n";
for my $n (1 .. 300) { open(my $f, '>', "d/f$n") or die $!; }
opendir(my $dh, 'd') or die $!;
my @names = sort grep { !/^\.\.?$/ } readdir $dh;
closedir $dh;
print scalar(@names), " $names[0] $names[-1]\n";
my $found = 0;
find(sub { $found++ }, 'd');
print "$found\n";
print unlink(glob 'd/f*'), " removed\n";
print rmdir('d') ? "gone\n" : "not empty\n";
local $/ = undef;
open($in, '<', '/proc/self/status') or die $!;
print <$in> =~ /^Name:\s+perl/ ? "perl\n" : "someone else\n";
local $/ = "\n";

print "== processes\n";
my $pid = fork // die "fork: $!";
if ($pid == 0) { POSIX::_exit(17) }
waitpid $pid, 0;
print $? >> 8, "\n";
$pid = fork // die;
if ($pid == 0) { kill KILL => $$; sleep 10 }
waitpid $pid, 0;
print $? & 127, "\n";
print waitpid(-1, WNOHANG), ' ', $! == ECHILD ? 1 : 0, "\n";
print `echo from a command; exit 3`, $? >> 8, "\n";
print system('sh', '-c', 'exit 4') >> 8, "\n";
{
    no warnings 'exec';
    print system('./no-such-program'), "\n";
}
my @children = map { my $n = $_; my $p = fork // die; if (!$p) { sleep 0.01 * $n; POSIX::_exit($n) } $p } 1 .. 10;
my %status;
while ((my $p = waitpid(-1, 0)) > 0) { $status{$p} = $? >> 8 }
print join(',', map { $status{$_} } @children), "\n";
pipe(my $read, my $write) or die $!;
if (!($pid = fork // die)) { close $read; print $write "piped $_\n" for 1 .. 3; close $write; POSIX::_exit(0) }
close $write;
print <$read>;
waitpid $pid, 0;
open(my $to, '|-', 'tr a-z A-Z') or die $!;
print $to "to a command\n";
close $to;
open(my $from, '-|', 'seq', '3') or die $!;
print <$from>;
close $from;
$pid = open3(my $cin, my $cout, undef, 'sh', '-c', 'cat; echo error >&2');
print $cin "both ways\n";
close $cin;
print sort <$cout>;
waitpid $pid, 0;
local $SIG{PIPE} = 'IGNORE';
pipe $read, $write;
close $read;
print syswrite($write, 'x') ? "written\n" : "broken: $!\n";
exec 'sh', '-c', 'exit 0' if !($pid = fork // die);
waitpid $pid, 0;
print "exec $?\n";

print "== signals\n";
my @got;
$SIG{$_} = sub { push @got, shift } for qw(USR1 USR2 ALRM);
kill USR1 => $$;
kill USR2 => $$;
print "@got\n";
eval { local $SIG{ALRM} = sub { die "alarm\n" }; alarm 1; select undef, undef, undef, 10; };
print $@;
@got = ();
setitimer(ITIMER_REAL, 0.05, 0.05);
sleep 1 while @got < 3;
setitimer(ITIMER_REAL, 0);
print "@got[0 .. 2]\n";
my $set = POSIX::SigSet->new(SIGUSR1);
sigprocmask(SIG_BLOCK, $set);
@got = ();
kill USR1 => $$;
my $pending = POSIX::SigSet->new;
sigpending($pending);
print scalar(@got), ' ', $pending->ismember(SIGUSR1), "\n";
sigprocmask(SIG_UNBLOCK, $set);
print "@got\n";
local $SIG{CHLD} = sub { push @got, 'CHLD' };
if (!($pid = fork // die)) { POSIX::_exit(0) }
sleep 0.05 while $got[-1] ne 'CHLD';
waitpid $pid, 0;
print "$got[-1]\n";
$SIG{CHLD} = 'DEFAULT';
if (!($pid = fork // die)) { POSIX::setsid(); sleep 10; POSIX::_exit(0) }
sleep 0.1;
kill STOP => $pid;
print waitpid($pid, WUNTRACED) == $pid ? "stopped\n" : "not stopped\n";
kill CONT => $pid;
kill TERM => $pid;
waitpid $pid, 0;
print WIFSIGNALED($?) ? WTERMSIG($?) : 'no', "\n";

print "== sockets and locks\n";
my $listen = IO::Socket::UNIX->new(Local => 'socket', Listen => 5) or die $!;
if (!($pid = fork // die)) {
    for (1 .. 3) { my $c = $listen->accept; my $line = <$c>; print $c "echo $line"; close $c }
    POSIX::_exit(0);
}
for my $n (1 .. 3) {
    my $s = IO::Socket::UNIX->new(Peer => 'socket') or die $!;
    print $s "message $n\n";
    print scalar <$s>;
}
waitpid $pid, 0;
socketpair(my $near, my $far, AF_UNIX, SOCK_STREAM, PF_UNSPEC) or die $!;
syswrite $near, 'x' x 5000;
my $ready = IO::Select->new($far);
my $total = 0;
while ($ready->can_read(0)) { $total += sysread($far, $buffer, 1000) }
print "$total\n";
$far->blocking(0);
print sysread($far, $buffer, 10) // ($! == EAGAIN ? 'would block' : $!), "\n";
shutdown $near, 1;
print sysread($far, $buffer, 10), "\n";
open(my $lock, '>', 'lock') or die $!;
flock $lock, LOCK_EX or die $!;
if (!($pid = fork // die)) { open(my $mine, '>', 'lock'); POSIX::_exit(flock($mine, LOCK_EX | LOCK_NB) ? 0 : 1) }
waitpid $pid, 0;
print $? >> 8, "\n";

print "== text\n";
my %count;
$count{ length $_ }++ for map { join '', ($_) x ($_ % 7 + 1) } 1 .. 5000;
print join(' ', map { "$_=$count{$_}" } sort { $a <=> $b } keys %count), "\n";
my $text = join ' ', map { sprintf '%04x', $_ * 7919 % 65536 } 1 .. 20000;
my $matches = () = $text =~ /\b[a-f]\w+[02468]\b/g;
print "$matches ", length $text, "\n";
print strftime('%Y-%m-%d %H:%M:%S', gmtime 1e9), "\n";
print join(',', unpack 'N n C a3', pack 'N n C a3', 1, 2, 3, 'abc'), "\n";
my $start = time;
usleep 20000;
my $slept = time - $start;
print $slept >= 0.02 && $slept < 5 ? "slept\n" : "slept for $slept\n";
print "done\n";
