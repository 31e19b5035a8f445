"""The interpreter of a python session: python3 -c TEXT DIRECTORY (driver.sh says what is in it).

Each line of ctl is the number of a cell. It runs with in, N.out as its file descriptors, so what its child processes
write is there too; N.s says how it ended: 0, 1 after an exception, 130 after an interrupt.
"""
import ast, builtins, linecache, os, signal, sys, traceback, types, warnings

directory = sys.argv[1]
sys.argv = ['']
for name in [name for name in os.environ if name.startswith('RC_')]:
    del os.environ[name]
os.environ.setdefault('MPLBACKEND', 'Agg')
warnings.filterwarnings('ignore', message='.*non-interactive.*')
main = types.ModuleType('__main__')
sys.modules['__main__'] = main
sys.path.insert(0, '')
images = []
kernel = os.getpid()


def path(name):
    return os.path.join(directory, name)


def display(*values):
    """Shows a value: as an image where it is one, else as text."""
    for value in values:
        render = getattr(value, '_repr_png_', None)
        png = render() if callable(render) and not isinstance(value, type) else None
        if png is not None:
            images.append(png[0] if isinstance(png, tuple) else png)
        else:
            print(repr(value))


builtins.display = display


def figures():
    pyplot = sys.modules.get('matplotlib.pyplot')
    if pyplot is None:
        return
    import io
    for number in pyplot.get_fignums():
        file = io.BytesIO()
        pyplot.figure(number).savefig(file, format='png')
        images.append(file.getvalue())
    pyplot.close('all')


def evaluate(source, name):
    linecache.cache[name] = (len(source), None, source.splitlines(True), name)
    tree = ast.parse(source, name)
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, name, 'exec'), main.__dict__)
    if last is not None:
        value = eval(compile(ast.Expression(last.value), name, 'eval'), main.__dict__)
        if value is not None:
            builtins._ = value
            figure = type(value).__module__.startswith('matplotlib')
            if not figure:
                display(value)
    figures()


def cell(number):
    with open(path(number + '.cmd'), encoding='utf-8') as file:
        source = file.read()
    try:
        evaluate(source, 'cell ' + number)
        return 0
    except KeyboardInterrupt:
        print('KeyboardInterrupt', file=sys.stderr)
        return 130
    except SystemExit:
        raise
    except BaseException as error:
        traceback.print_exception(type(error), error, below(error.__traceback__))
        return 1


def below(trace):
    """Without the frames of this program."""
    while trace is not None and trace.tb_frame.f_code.co_filename in ('<string>', __file__ if '__file__' in globals() else ''):
        trace = trace.tb_next
    return trace


def redirect(name, flags, *descriptors):
    opened = os.open(path(name), flags, 0o600)
    for descriptor in descriptors:
        os.dup2(opened, descriptor)
    os.close(opened)


def write(name, text):
    with open(path(name + '.new'), 'w') as file:
        file.write(text + '\n')
    os.rename(path(name + '.new'), path(name))


def serve(number):
    redirect('in', os.O_RDONLY, 0)
    redirect(number + '.out', os.O_WRONLY | os.O_CREAT | os.O_APPEND, 1, 2)
    sys.stdin = open(0, encoding='utf-8', errors='surrogateescape', closefd=False)
    sys.stdout = open(1, 'w', buffering=1, encoding='utf-8', errors='backslashreplace', closefd=False)
    sys.stderr = open(2, 'w', buffering=1, encoding='utf-8', errors='backslashreplace', closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        code = cell(number)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush()
        sys.stderr.flush()
        if os.getpid() != kernel:
            os._exit(0)  # forked by the cell: its cells are not this one's
    for index, image in enumerate(images):
        with open(path('%s.%d.png' % (number, index)), 'wb') as file:
            file.write(image)
    if images:
        write(number + '.images', str(len(images)))
    images.clear()
    write(number + '.s', str(code))


signal.signal(signal.SIGINT, signal.SIG_IGN)
with open(path('ctl'), 'rb', buffering=0) as requests:
    line = b''
    while True:
        byte = requests.read(1)
        if byte == b'\n':
            serve(line.decode())
            line = b''
        else:
            line += byte or b''
