"""What a held act is, in one line: SQL over a row `h` of holds, as wire/targets.py says it."""

WHAT = """CASE h.kind
         WHEN 'exec' THEN coalesce(nullif(array_to_string(h.argv, ' '), ''), h.executable)
         WHEN 'open' THEN h.path
         WHEN 'ask' THEN h.executable || ' on ' || h.path
         WHEN 'create' THEN h.path || CASE WHEN h.operation IN ('', 'file') THEN ''
                                           ELSE ' (' || h.operation || ')' END
         WHEN 'delete' THEN h.path || CASE WHEN h.operation IN ('', 'file') THEN ''
                                           ELSE ' (' || h.operation || ')' END
         WHEN 'truncate' THEN rtrim(h.path || ' ' || h.operation)
         WHEN 'rename' THEN h.path || ' -> ' || h.second_path
         WHEN 'link' THEN h.path || ' -> ' || h.second_path
         WHEN 'symlink' THEN h.path || ' -> ' || h.second_path
         WHEN 'chmod' THEN h.path || ' to ' || h.operation
         WHEN 'chown' THEN h.path || ' to ' || h.operation
         WHEN 'mount' THEN CASE h.second_path WHEN '' THEN '' ELSE h.second_path || ' -> ' END
                           || h.path || ' (' || h.operation || ')'
         WHEN 'trace' THEN coalesce(h.target_comm || ' (pid ' || h.target_pid || ')',
                                    'a process that is not known') || ': ' || h.operation
         WHEN 'module' THEN rtrim(h.operation || ' ' || h.path)
         WHEN 'identity' THEN h.operation
         WHEN 'bpf' THEN h.operation
         WHEN 'namespace' THEN h.operation
         ELSE coalesce(nullif(h.path, ''), h.address || ' port ' || h.port)
       END"""
