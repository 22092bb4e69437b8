# MomentumSeg's one entry point on Windows: installs what a task needs in a private environment, then does it.
#   .\run.ps1 demo | app [VOLUME] | test [ARGS] | lint | momentumseg ARGS | setup | clean
# If Windows refuses to run scripts:  powershell -ExecutionPolicy Bypass -File run.ps1 demo
param([Parameter(Position = 0)][string]$Task = "help", [Parameter(ValueFromRemainingArguments = $true)][string[]]$Rest)

$ErrorActionPreference = "Stop"
$Here = $PSScriptRoot
$Venv = if ($env:MOMENTUMSEG_VENV) { $env:MOMENTUMSEG_VENV } else { Join-Path $Here ".venv" }
$Python = Join-Path $Venv "Scripts\python.exe"
$TorchCpuIndex = "https://download.pytorch.org/whl/cpu"
$Extras = "cli,app,dev"
if ($null -eq $Rest) { $Rest = @() }

function Say([string]$Text) { [Console]::Error.WriteLine("momentumseg: $Text") }

function Stop-With([string]$Text) { Say $Text; exit 1 }

function Invoke-Pip([string[]]$PipArguments) {
    & $Python -m pip install --quiet --disable-pip-version-check @PipArguments
    if ($LASTEXITCODE -ne 0) {
        Stop-With "installing failed; pip's message above says why (no network? behind a proxy, set HTTPS_PROXY), then run this again."
    }
}

function Find-Python {
    $Check = "import ensurepip, venv, sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))"
    foreach ($Candidate in @($env:MOMENTUMSEG_PYTHON, "python", "python3", "py")) {
        if ($Candidate -and (Get-Command $Candidate -ErrorAction SilentlyContinue)) {
            & $Candidate -c $Check 2>$null
            if ($LASTEXITCODE -eq 0) { return $Candidate }
        }
    }
    Stop-With "Python 3.10 to 3.14 is needed: install it from https://www.python.org/downloads/ and run this again."
}

function Test-NvidiaGpu {
    if (-not (Get-Command nvidia-smi -ErrorAction SilentlyContinue)) { return $false }
    & nvidia-smi -L *> $null
    return $LASTEXITCODE -eq 0
}

# True if installing the pinned torch the plain way would bring CUDA packages (asked without downloading any).
function Test-BringsCuda([string]$Torch) {
    $Report = Join-Path $Venv "torch-report.json"
    Invoke-Pip @("--dry-run", "--ignore-installed", "--only-binary", ":all:", "--report", $Report, $Torch)
    $Names = (Get-Content -Raw -Encoding UTF8 $Report | ConvertFrom-Json).install | ForEach-Object { $_.metadata.name }
    return [bool]($Names | Where-Object { $_ -match "^(nvidia|cuda|triton)" })
}

function Get-Fingerprint {
    $Files = "pyproject.toml", "constraints.txt", "setup.py" | ForEach-Object { (Get-FileHash (Join-Path $Here $_)).Hash }
    return (@($Here, $Extras) + $Files) -join " "
}

function Install-Everything {
    $Stamp = Join-Path $Venv "momentumseg-stamp"
    if ((Test-Path $Stamp) -and (Test-Path $Python) -and ((Get-Content -Raw $Stamp).Trim() -eq (Get-Fingerprint))) { return }
    if (-not (Test-Path $Python)) {
        $Base = Find-Python
        Say "making the private environment $Venv (once; a few minutes)"
        & $Base -m venv --clear $Venv
        if ($LASTEXITCODE -ne 0) { Stop-With "the environment $Venv could not be made; the message above says why." }
    }
    if (Test-Path $Stamp) { Remove-Item $Stamp }
    $Constraints = Join-Path $Here "constraints.txt"
    $Torch = Get-Content $Constraints | Where-Object { $_ -match "^torch==" } | Select-Object -First 1
    Invoke-Pip @("--upgrade", "pip>=24", "setuptools>=77")
    if (-not (Test-NvidiaGpu) -and (Test-BringsCuda $Torch)) {
        Say "no NVIDIA GPU here: installing $Torch built for the CPU"
        Say "(where $TorchCpuIndex is blocked: put the wheel in a folder and set PIP_FIND_LINKS to it)"
        Invoke-Pip @("--no-deps", "--index-url", $TorchCpuIndex, $Torch)
    }
    Say "installing MomentumSeg and what it needs"
    Invoke-Pip @("--constraint", $Constraints, "--editable", "$Here[$Extras]")
    Set-Content -Path $Stamp -Value (Get-Fingerprint)
    Say "installed"
}

switch ($Task) {
    "setup" { Install-Everything }
    "demo" { Install-Everything; & $Python -m momentumseg demo @Rest; exit $LASTEXITCODE }
    "app" { Install-Everything; & $Python -m momentumseg app @Rest; exit $LASTEXITCODE }
    "momentumseg" { Install-Everything; & $Python -m momentumseg @Rest; exit $LASTEXITCODE }
    "test" { Install-Everything; Push-Location $Here; & $Python -m pytest --quiet @Rest; $Code = $LASTEXITCODE; Pop-Location; exit $Code }
    "lint" {
        Install-Everything
        Push-Location $Here
        & $Python -m ruff check .
        $Code = $LASTEXITCODE
        if ($Code -eq 0) { & $Python -m mypy; $Code = $LASTEXITCODE }
        Pop-Location
        exit $Code
    }
    "clean" { if (Test-Path (Join-Path $Venv "pyvenv.cfg")) { Remove-Item -Recurse -Force $Venv } }
    "help" { Get-Content (Join-Path $Here "run.ps1") | Select-Object -First 3 }
    default { Say "unknown task '$Task'"; exit 2 }
}
